"""What can go wrong around the embedded stack, told to the person at the terminal."""


class StackError(Exception):
    """Something that the user can mend; its text says what it is and, where known, how."""
