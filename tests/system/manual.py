"""The manual's pages and their blocks, as they stand there."""

from paths import ROOT


class Page:
    """A page of `docs/`. Each block is taken once, so that a test can show that it has run all of them."""

    def __init__(self, name):
        self.name = name
        self.text = (ROOT / "docs" / name).read_text()
        self.blocks = list(fences(self.text))

    def take(self, kind, beginning=""):
        """The first block of a kind that is left, with this beginning."""
        for block in self.blocks:
            if block[0] == kind and block[1].lstrip().startswith(beginning):
                self.blocks.remove(block)
                return block[1]
        raise AssertionError(f"{self.name}: no block `{kind}` is left that begins with `{beginning}`")

    def rows(self, *first):
        """The rows of the table whose head begins with these cells, without the marks of code."""
        lines = iter(self.text.splitlines())
        head = "| " + " | ".join(first)
        assert any(line.startswith(head) for line in lines), f"{self.name}: no table with `{head}`"
        next(lines)
        for line in lines:
            if not line.startswith("|"):
                return
            yield [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def fences(text):
    """Kind and text of each fenced block."""
    kind, lines = None, []
    for line in text.splitlines():
        if line.startswith("```"):
            if kind is not None:
                yield kind, "\n".join(lines) + "\n"
            kind, lines = (line[3:], []) if kind is None else (None, [])
        elif kind is not None:
            lines.append(line)


def pages_with(kind):
    """The names of all pages with a block of a kind."""
    docs = ROOT / "docs"
    names = sorted(str(path.relative_to(docs)) for path in docs.rglob("*.md"))
    return [name for name in names if any(block[0] == kind for block in Page(name).blocks)]
