"""The second model: what follows in the ledger by itself, and what happens to who is late."""

from datetime import datetime

from tests.ownership.arithmetic import split
from tests.ownership.owing import ENERGY, Agreement, Owing
from tests.ownership.raising import need


class Settling(Owing):
    """Prepaid, credit, standing orders, refunds that are owed, cures, first loss, handing on."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)  # type: ignore[arg-type]
        self.agreements = {}
        self.owing_back = []
        self.offers: dict[str, tuple[str, str, str, int, int, datetime]] = {}
        self.moving: dict[str, tuple[str, datetime]] = {}

    def settle(self) -> None:
        """Whatever follows from the state, until nothing does."""
        self.expire_raises()
        for name, (member, at) in list(self.moving.items()):
            if self.now >= at:
                self.agreements[name].member = member
                self.agreements[name].order_by = ""
                del self.moving[name]
        while self._take_back() or any(map(self._settle, list(self.agreements.values()))):
            pass

    def _settle(self, agr: Agreement) -> bool:
        """The next thing that follows for an agreement; tell whether there was one."""
        if not agr.overdue(self.now) or agr.owned_at:
            agr.is_first_loss_spent = False
            self.restore(agr)
        happened = self.apply_prepaid(agr)
        self.cap(agr)
        wanted = sum(bill.open_total for bill in agr.by_due())
        if 0 < wanted <= 100 * self.credit(agr) and self.clear(agr, self.credit(agr)):
            return True
        return happened or (agr.order_by == agr.member and self._pay_by_order(agr))

    def _pay_by_order(self, agr: Agreement) -> bool:
        """One invoice after the other, each up to the limit and as far as the wallet reaches."""
        for bill in agr.by_due():
            wallet = self.wallet(agr.system.asset, agr.member)
            wanted = min(bill.open_total, agr.order_limit - bill.by_order)
            amount = min(wanted, wallet)
            if wanted <= 0:
                continue
            if wanted > 100 * amount:
                return False
            self.accounts.post(agr.system.u, f"wallet:{agr.member}", f"credit:{agr.name}", amount)
            bill.by_order += amount
            self.clear(agr, amount, bill)
            return True
        return False

    def _take_back(self) -> bool:
        """Payees who owe since a credit note give back as soon as they have it."""
        oldest: set[tuple[str, str]] = set()
        for number, (name, account, owed) in enumerate(self.owing_back):
            agr = self.agreements[name]
            if not owed or (agr.system.u, account) in oldest:
                continue
            oldest.add((agr.system.u, account))
            amount = min(owed, self.accounts.of(agr.system.u, account))
            if amount > 0 and owed <= 100 * amount:
                payee = account.split(":", 1)[1]
                self.accounts.post(agr.system.u, account, f"credit:{name}", amount)
                self.accounts.post(agr.system.c, f"owed_to:{name}", f"owed_by:{payee}", amount)
                self.owing_back[number] = (name, account, owed - amount)
                return True
        return False

    # -- late ---------------------------------------------------------------------------------

    def escalate(self, agr: Agreement, level: str, invoice: str) -> None:
        """The ledger acts if the invoice is overdue by its own books."""
        if not agr.bills[invoice].overdue(self.now) or agr.owned_at:
            return
        if level == "diversion" and not agr.is_diverted:
            agr.diverted.append((self.now, None))
            self.log.append(("diverted", agr.name, invoice))
        if level == "disconnection":
            if not agr.is_disconnected:
                agr.is_disconnected = True
                self.log.append(("disconnected", agr.name, invoice))
            if not agr.is_first_loss_spent:
                agr.is_first_loss_spent = True
                self.first_loss(agr)

    def first_loss(self, agr: Agreement) -> None:
        """Guarantors pay overdue energy, in the order of deposit, and take over what they paid.

        What one has just taken over, the next does not pay to him.
        """
        system, post = agr.system, self.accounts.post
        overdue = sum(bill.overdue(self.now, ENERGY) for bill in agr.bills.values())
        left = min(overdue, self.owed(agr))
        covers = [f"cover:{system.name}:{each}" for each in system.guarantors]
        loss = min(left, sum(self.accounts.of(system.u, cover) for cover in covers))
        if not loss:
            return
        self.accrue(agr)
        prefix, titled = f"return_to:{agr.name}:", f"title:{system.name}:"
        claims = self.accounts.under(system.c, prefix)
        if loss > sum(claims.values()):
            self.accrue_all(system)
        title = self.title(system)
        for guarantor, cover in zip(system.guarantors, covers, strict=True):
            amount = min(left, self.accounts.of(system.u, cover))
            returned = min(amount, sum(claims.values()))
            for member, part in split(returned, claims, self.address).items():
                post(system.u, cover, f"wallet:{member}", part)
                post(system.c, prefix + member, prefix + guarantor, part)
                claims[member] -= part
            for member, part in split(amount - returned, title, self.address).items():
                post(system.u, cover, f"wallet:{member}", part)
                post(system.t, titled + member, titled + guarantor, part)
                title[member] -= part
            left -= amount
            self.log.append(("first loss", agr.name, guarantor, amount))

    def sell_to_grid(self, agr: Agreement, amount: int) -> None:
        """What the offtaker owes for metered energy."""
        due, to = f"grid_due:{agr.system.offtaker}", f"grid_for:{agr.name}"
        self.accounts.post(agr.system.c, due, to, amount)

    def pay_proceeds(self, offtaker: str, name: str, amount: int) -> None:
        agr = self.agreements[name]
        need(that=offtaker == agr.system.offtaker, rule="not the offtaker")
        owed = self.accounts.of(agr.system.c, f"grid_for:{name}")
        need(that=amount <= owed, rule="more than he owes")
        need(that=amount <= self.wallet(agr.system.asset, offtaker), rule="too little money")
        self.accounts.post(agr.system.u, f"wallet:{offtaker}", f"credit:{name}", amount)
        self.accounts.post(agr.system.c, f"grid_for:{name}", f"grid_due:{offtaker}", amount)

    # -- handing on ---------------------------------------------------------------------------

    def offer_shares(
        self, offer: str, system: str, giver: str, to: str, shares: int, price: int, until: datetime
    ) -> None:
        titles = self.title(self.systems[system])
        need(that=shares <= titles.get(giver, 0), rule="too little title")
        need(that=until > self.now and giver != to, rule="expired, or to himself")
        self.offers[offer] = (system, giver, to, shares, price, until)

    def accept_shares(self, offer: str, member: str) -> None:
        """Return accrues first; then title goes one way and money the other."""
        need(that=offer in self.offers, rule="no such offer")
        name, giver, to, shares, price, until = self.offers[offer]
        system = self.systems[name]
        need(that=member == to and self.now < until, rule="not his, or expired")
        need(that=shares <= self.title(system).get(giver, 0), rule="too little title")
        need(that=price <= self.wallet(system.asset, to), rule="too little money")
        self.accrue_all(system)
        self.accounts.post(system.t, f"title:{name}:{giver}", f"title:{name}:{to}", shares)
        self.accounts.post(system.u, f"wallet:{to}", f"wallet:{giver}", price)
        del self.offers[offer]
