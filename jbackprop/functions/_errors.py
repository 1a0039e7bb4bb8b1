"""Other people's exceptions in a few words."""


def named(error: Exception) -> str:
    """Its type and the first line of what it says."""
    return f"{type(error).__name__}: {first_line(error)}"


def first_line(error: Exception) -> str:
    """The first line of what it says, the second too where that ends in a colon; its type where it says nothing."""
    lines = str(error).splitlines() or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
