"""A local double of Stellar's Horizon, for development and tests.

The devnet takes real transaction envelopes, checks them in the order stellar-core does, closes
real ledgers whose headers form a hash chain, and answers like Horizon. It is **not** Stellar: one
process decides everything, its validator key can be derived by anyone from the passphrase, and it
knows few operations. Nothing it emits may be called Stellar in a document or a proof.

It shares no code with `libs.stellar`: the verifier that reads its evidence was written apart and
is checked against mainnet data first.

Map, from the inside out:

- `protocol`: constants, network id, keys; `account`: one account and its ledger entry
- `frame`: a decoded transaction; `signatures`: which signatures count
- `results`, `codes`: results as XDR and as Horizon's words
- `operations`: the rules of each operation; `validity`: stellar-core's order of checks
- `txset`: canonical and apply order; `ledger`: close a ledger (pure)
- `store`: SQLite; `node`: queue, time and closing
- `records`, `problems`, `horizon`: what HTTP clients see; `settings`, `app`: wiring
"""
