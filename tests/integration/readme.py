"""The README's examples, as they are run by tests."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]


def example(language: str, target: str, url: str) -> str:
    """The README's one example in a language, with this server and URL in place of those it shows."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)
    assert len(blocks) == 1, f"{len(blocks)} examples in {language}"
    text = blocks[0]
    for shown, ours in {"127.0.0.1:50051": target, "https://example.com/": url}.items():
        assert shown in text
        text = text.replace(shown, ours)
    return text
