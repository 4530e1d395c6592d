"""What is raised by this library."""


class ProofFailed(Exception):
    """A proof file does not prove what it should. `step` is the number of the step that refused."""

    def __init__(self, step: int, message: str) -> None:
        """Keep both.

        Args:
            step: Number of the step, from 1, as listed in `libs.proof.verify`.
            message: One sentence for a person.
        """
        super().__init__(f"step {step}: {message}")
        self.step = step
        self.message = message


class NotProvable(Exception):
    """The facts that are there do not allow a proof: something is missing or not anchored yet."""
