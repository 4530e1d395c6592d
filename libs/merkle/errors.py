"""The one error of this library.

Whatever is wrong with a proof, a tree position, a note or a key, the caller meets `ProofError` and
nothing else. A `ValueError`, `IndexError` or error of a dependency that escapes is a bug here.
"""


class ProofError(Exception):
    """Something offered as proof does not prove, or cannot even be read.

    Attributes:
        reason: One sentence for a person, without the step.
        step: Number of the step that refused, as listed in the docstring of the routine that was
            called; 0 where the routine has no numbered steps.
    """

    def __init__(self, reason: str, *, step: int = 0) -> None:
        super().__init__(f"step {step}: {reason}" if step else reason)
        self.reason = reason
        self.step = step
