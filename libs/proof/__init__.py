"""Proof of an invoice: one file that a stranger checks offline.

- `rounds`: the text of one anchor round: the signed checkpoints of all logs
- `model`: the proof file and the trust file, strict, one spelling
- `build`: make a proof file from the facts of all streams
- `verify`: check one, in numbered steps; `steps_*` are its parts, with
  - `times`: which facts count; `supply`: who held, was diverted, owned
  - `rating`, `prices`, `lines`: the lines of a bill, computed again
  - `documents`: credit notes and replaced invoices; `receivable`: what is open
- `errors`: what is raised here

Everything here is pure: bytes in, an answer or an error out. No service is imported, nothing reads
a clock, a file or a network. The package imports none of its modules, so that `rounds` needs no
Stellar library.
"""
