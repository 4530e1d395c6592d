"""Documents in the shapes that platforms publish, with numbers of our own."""

from collections.abc import Mapping, Sequence

Points = Mapping[int, str]


def day_ahead(
    start: str,
    end: str,
    points: Points,
    *,
    resolution: str = "PT60M",
    curve: str = "A01",
    currency: str = "EUR",
    unit: str = "MWH",
    more: Sequence[tuple[str, str, Points]] = (),
) -> bytes:
    """A publication of day-ahead prices, a time series for each period."""
    series = "".join(
        f"""<TimeSeries><mRID>{number}</mRID><businessType>A62</businessType>
        <currency_Unit.name>{currency}</currency_Unit.name>
        <price_Measure_Unit.name>{unit}</price_Measure_Unit.name>
        <curveType>{curve}</curveType>
        <Period><timeInterval><start>{first}</start><end>{last}</end></timeInterval>
        <resolution>{resolution}</resolution>{_points(told)}</Period></TimeSeries>"""
        for number, (first, last, told) in enumerate([(start, end, points), *more], 1)
    )
    space = "urn:iec62325.351:tc57wg16:451-3:publicationdocument:7:3"
    head = f'<?xml version="1.0" encoding="UTF-8"?><Publication_MarketDocument xmlns="{space}">'
    return f"{head}<type>A44</type>{series}</Publication_MarketDocument>".encode()


def _points(points: Points) -> str:
    return "".join(
        f"<Point><position>{at}</position><price.amount>{price}</price.amount></Point>"
        for at, price in points.items()
    )


def rates(days: Mapping[str, Mapping[str, str]]) -> bytes:
    """Reference rates, as much of each currency as one euro buys."""
    cubes = "".join(
        f'<Cube time="{day}">'
        + "".join(f'<Cube currency="{code}" rate="{rate}"/>' for code, rate in told.items())
        + "</Cube>"
        for day, told in days.items()
    )
    spaces = 'xmlns:g="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref"'
    return f'<?xml version="1.0"?><g:Envelope {spaces}><Cube>{cubes}</Cube></g:Envelope>'.encode()
