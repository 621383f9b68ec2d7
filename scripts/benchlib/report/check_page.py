"""Opens pages of scripts/bench report in headless Chromium and fails on what a reader would stumble over.

    check_page.py --chromium PROGRAM --screenshots FOLDER PAGE...

Each page is opened light, dark and as on a phone of 390 points. A fault is an error or warning on the
console, any request but for the page, text beyond the window, its drawing or its card, two labels of a
drawing over each other, text of too little contrast (WCAG AA: 4.5) or too small to read.
"""

import argparse
import pathlib
import sys

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from benchlib import page_contrast  # noqa: E402

VIEWS = (
    ("light", {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}),
    ("dark", {"viewport": {"width": 1280, "height": 900}, "color_scheme": "dark"}),
    ("phone", {"viewport": {"width": 390, "height": 844}, "color_scheme": "light",
               "device_scale_factor": 2, "is_mobile": True, "has_touch": True}),
    ("phone-dark", {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark",
                    "device_scale_factor": 2, "is_mobile": True, "has_touch": True}),
)

INSPECT = r"""
() => {
  const faults = [];
  const shown = text => JSON.stringify(text.trim().slice(0, 60));
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth)
    faults.push(`the page is ${page.scrollWidth} wide in a window of ${page.clientWidth}`);
""" + page_contrast.SCRIPT + r"""
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || ["TITLE", "title", "STYLE", "SCRIPT"].includes(element.tagName)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    if (box.width === 0 || box.height === 0) continue;
    texts += 1;
    const style = getComputedStyle(element);
    const inDrawing = element.closest("svg");
    const frame = (inDrawing || element.closest("figure, .change, td, section, header") || document.body).getBoundingClientRect();
    for (const [side, by] of [["left", frame.left - box.left], ["right", box.right - frame.right],
                              ["top", frame.top - box.top], ["bottom", box.bottom - frame.bottom]])
      if (by > 1) faults.push(`${shown(node.textContent)} is ${by.toFixed(1)} beyond the ${side} of its frame`);
    if (box.left < -1 || box.right > page.clientWidth + 1)
      faults.push(`${shown(node.textContent)} is beyond the window`);
    if (!inDrawing && element.clientWidth && element.scrollWidth > element.clientWidth + 1)
      faults.push(`${shown(node.textContent)} is cut: ${element.scrollWidth} in ${element.clientWidth}`);
    const size = inDrawing ? box.height : parseFloat(style.fontSize);
    if (size < 11) faults.push(`${shown(node.textContent)} is ${size.toFixed(1)} high`);
    const ratio = contrast(parse(inDrawing ? style.fill : style.color).rgb, behind(element));
    if (ratio < 4.5) faults.push(`${shown(node.textContent)} has a contrast of ${ratio.toFixed(2)}`);
  }

  let drawings = 0;
  for (const drawing of document.querySelectorAll("figure svg")) {
    drawings += 1;
    const labels = [...drawing.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
    for (let i = 0; i < labels.length; i++)
      for (let j = 0; j < i; j++) {
        const [[a, p], [b, q]] = [labels[i], labels[j]];
        const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
        const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
        if (wide > 0.5 && high > 2) faults.push(`${shown(a)} lies on ${shown(b)}`);
      }
    const frame = drawing.getBoundingClientRect();
    for (const mark of drawing.querySelectorAll("circle, rect, path")) {
      const box = mark.getBoundingClientRect();
      if (box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1)
        faults.push(`a ${mark.tagName} of ${shown(drawing.getAttribute("aria-label") || "")} is outside of its drawing`);
    }
    if (/NaN|Infinity|None/.test(drawing.outerHTML)) faults.push("a drawing has a place that is no number");
  }
  return { faults, texts, drawings, sections: document.querySelectorAll("section").length };
}
"""


def check(browser, page_path, name, options, screenshots):
    """The faults of one page in one view."""
    faults = []
    context = browser.new_context(**options)
    page = context.new_page()
    page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    url = page_path.resolve().as_uri()

    def watch(request):
        if request.url != url and not request.url.startswith("data:"):
            faults.append(f"a request for {request.url}")

    page.on("request", watch)
    page.goto(url)
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = true")
    found = page.evaluate(INSPECT)
    faults += found["faults"]
    if found["texts"] < 20:
        faults.append(f"only {found['texts']} texts are visible")
    page.evaluate("for (const part of document.querySelectorAll('details')) part.open = false")
    picture = screenshots / f"{page_path.stem}-{name}.png"
    page.screenshot(path=picture, full_page=True)
    context.close()
    return faults, found, picture


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=pathlib.Path, nargs="+", metavar="PAGE")
    parser.add_argument("--chromium", required=True, metavar="PROGRAM")
    parser.add_argument("--screenshots", type=pathlib.Path, required=True, metavar="FOLDER")
    arguments = parser.parse_args()
    arguments.screenshots.mkdir(parents=True, exist_ok=True)
    bad = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox", "--disable-gpu"])
        for page in arguments.pages:
            for name, options in VIEWS:
                faults, found, picture = check(browser, page, name, options, arguments.screenshots)
                print(f"{page.name}, {name}: {found['texts']} texts, {found['drawings']} drawings, "
                      f"{len(faults)} faults; {picture}")
                for fault in faults[:20]:
                    print(f"  {fault}")
                bad += len(faults)
        browser.close()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
