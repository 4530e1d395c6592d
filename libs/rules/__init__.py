"""The shared arithmetic: rounding, allocation, postings. Pure."""

from libs.rules.allocation import Demand, Share, allocate
from libs.rules.numbers import scale, split
from libs.rules.posting import Posting
from libs.rules.postings import Books, is_debit_account, postings

__all__ = [
    "Books",
    "Demand",
    "Posting",
    "Share",
    "allocate",
    "is_debit_account",
    "postings",
    "scale",
    "split",
]
