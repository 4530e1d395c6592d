"""The ledger gateway: how Heliograph speaks to Stellar, and how it proves what stands there.

- `encoding`: strict XDR, network id, transaction and header hashes (pure)
- `anchoring`: build the one transaction that carries a hash (pure, deterministic)
- `evidence`: verify offline that a hash stands in a ledger (pure)
- `gateway`: the port `LedgerGateway`, and Horizon behind it; `client`: HTTP for the SDK
- `errors`: everything that is raised here

The package imports none of its modules, so that the pure ones need no HTTP library.
"""
