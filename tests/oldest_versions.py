"""Print pip constraints that pin every requirement to the oldest version it admits.

python tests/oldest_versions.py > oldest.txt
pip install -c oldest.txt -e '.[lab,test]'
"""

import re
from pathlib import Path


def oldest(pyproject: str) -> list[str]:
    """Constraints for the requirements in a pyproject.toml's text, those of extras included."""
    # A regular expression, since tomllib is missing from Python 3.10, the oldest of all.
    whole = re.search(r"^dependencies = .*?^\[(?!project\.opt)", pyproject, re.M | re.S).group()
    block = "".join(re.findall(r"\[[^\[\]]*\]", whole))
    pairs = re.findall(r'"([A-Za-z0-9-]+)>=([0-9.]+)"', block)
    if len(pairs) != block.count('"') // 2:
        raise SystemExit("a requirement is not of the form name>=version")
    return [f"{name}=={version}" for name, version in pairs]


if __name__ == "__main__":
    print("\n".join(oldest(Path("pyproject.toml").read_text(encoding="utf-8"))))
