"""Pages of which a part is written by a script: what stands between two markers is replaced."""

import re


def replace_between(text: str, name: str, content: str) -> str:
    """A page with new content between ``<!-- name -->`` and ``<!-- end of name -->``.

    Parameters
    ----------
    text : str
        The page.
    name : str
        Of the markers.
    content : str
        Markdown; nothing leaves the place empty.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If the page does not have the markers, once each.
    """
    start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.S)
    inside = f"\n\n{content.strip()}\n\n" if content else "\n\n"
    new, count = pattern.subn(lambda _: f"{start}{inside}{end}", text)
    if count != 1:
        raise ValueError(f"expected {start} and {end} once, found them {count} times")
    return new
