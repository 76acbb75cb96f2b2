"""The whole book as one PDF, `_build/alasso.pdf`: `make pdf`. Jupyter Book's one-page HTML, printed by Chromium.

Jupyter Book's own PDF builders want LaTeX or a browser of their own, and one of them spoils _build/html.
"""

import subprocess
import sys
from pathlib import Path

import browser
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "_build" / "singlehtml"
TARGET = ROOT / "_build" / "alasso.pdf"
STYLE = """
span[id^="document-"] + section { break-before: page; }
h2, h3, h4 { break-after: avoid; }
figure, tr, .admonition { break-inside: avoid; }
pre, td code { white-space: pre-wrap !important; overflow-wrap: anywhere; }
.bd-article table.table { font-size: 0.75em; }
details * { animation: none !important; }
.prev-next-footer, button { display: none !important; }
"""
# Solutions are printed open; code that a page only offers to show is left out.
OPENED = """
for (const hidden of document.querySelectorAll("details")) {
  hidden.open = true;
  if (hidden.matches(".hide") && hidden.innerText.includes("code cell source")) hidden.remove();
}
"""
NUMBER = '<p style="width: 100%; text-align: center; font-size: 8px"><span class="pageNumber"></span></p>'


def build() -> Path:
    """The book on one page."""
    command = [Path(sys.executable).with_name("jupyter-book"), "build", ROOT, "--builder", "singlehtml", "--all"]
    subprocess.run([*command, "-W", "--keep-going", "-n"], check=True)
    # It links its pictures from where the site has its top, one folder above the page.
    page = BUILD / "book.html"
    page.write_text((BUILD / "book" / "index.html").read_text(encoding="utf-8"), encoding="utf-8")
    return page


def printed(page: Path, target: Path, chromium) -> None:
    """Print the page, once its formulas are set, with an outline of the headings."""
    tab = chromium.new_context(offline=True, color_scheme="light").new_page()
    tab.goto(page.as_uri())
    tab.wait_for_function("window.MathJax?.startup?.promise?.then(() => true)")
    tab.add_style_tag(content=STYLE)
    tab.evaluate(OPENED)
    margin = {"top": "15mm", "bottom": "15mm", "left": "15mm", "right": "15mm"}
    options = {"display_header_footer": True, "header_template": "<p></p>", "footer_template": NUMBER}
    tab.pdf(path=target, format="A4", print_background=True, outline=True, tagged=True, margin=margin, **options)
    tab.close()


if __name__ == "__main__":
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser.find(), args=["--no-sandbox"])
        printed(build(), TARGET, running)
        running.close()
    print(f"{TARGET}: {TARGET.stat().st_size / 1e6:.1f} MB")
