"""Opens the site's pages in headless Chromium and fails on what a reader would stumble over.

    check_site.py --chromium PROGRAM --screenshots FOLDER SITE

Opened are all articles, the front of each module, and a symbol's page of Swift, Python and C, as on a phone
of 390 points, light and dark; some of them on a wide window too. A fault is an error or warning on the
console, a request that fails or goes elsewhere, a picture that does not show, text of too little contrast
(WCAG AA: 4.5) or beyond the window, a page without a heading, and a link into the site that leads nowhere.
"""

import argparse
import functools
import http.server
import json
import pathlib
import sys
import threading
import urllib.parse

from playwright.sync_api import sync_playwright

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchlib import page_contrast  # noqa: E402

PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True,
         "has_touch": True}
WIDE = {"viewport": {"width": 1280, "height": 900}}
FRONT = "/documentation/guide"
# A symbol's page of each language.
SYMBOLS = ["/documentation/embedkernel/inputembedding", "/documentation/python/embed",
           "/documentation/pytorch/embedding", "/documentation/cembedkernel/ek_embed"]

INSPECT = r"""
() => {
  const faults = [];
  const shown = text => JSON.stringify(text.trim().slice(0, 60));
  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth)
    faults.push(`the page is ${page.scrollWidth} wide in a window of ${page.clientWidth}`);
""" + page_contrast.SCRIPT + r"""
  const main = document.querySelector("main");
  if (!main || !main.querySelector("h1")) return { faults: ["the page has no heading"], texts: 0, links: [] };
  let texts = 0;
  const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.textContent.trim() || element.closest("svg, style, script, .visuallyhidden, [aria-hidden=true]")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const box = range.getBoundingClientRect();
    const style = getComputedStyle(element);
    if (box.width === 0 || box.height === 0 || style.visibility === "hidden") continue;
    texts += 1;
    // What is wider than the window must lie in something that scrolls.
    let scrolls = false;
    for (let e = element; e && e !== main; e = e.parentElement)
      if (["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX)) scrolls = true;
    if (!scrolls && (box.left < -1 || box.right > page.clientWidth + 1))
      faults.push(`${shown(node.textContent)} is beyond the window`);
    const ratio = contrast(parse(style.color).rgb, behind(element));
    if (ratio < 4.5) faults.push(`${shown(node.textContent)} has a contrast of ${ratio.toFixed(2)}`);
  }
  for (const picture of main.querySelectorAll("img"))
    if (picture.naturalWidth === 0) faults.push(`the picture ${picture.src} does not show`);
  const links = [...main.querySelectorAll("a[href]")].map(link => link.href);
  return { faults, texts, links };
}
"""


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def served(site):
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def pages(site):
    """The addresses to open: every article, every module's front, and a symbol of each language."""
    articles, fronts = [], []
    for path in sorted((site / "data" / "documentation").rglob("*.json")):
        found = json.loads(path.read_text())
        address = "/" + str(path.relative_to(site / "data").with_suffix(""))
        # docc makes a list of its own for what a protocol brings.
        if found["kind"] == "article" and not address.endswith("-implementations"):
            articles.append(address)
        elif found["metadata"].get("symbolKind") == "module":
            fronts.append(address)
    return articles, fronts + SYMBOLS


def leads_nowhere(site, address):
    """Whether a link into the site has no page or file at its end."""
    path = site / urllib.parse.unquote(address).strip("/")
    return not (path.is_file() or (path / "index.html").is_file())


def check(context, origin, site, address, screenshot):
    """The faults of a page, and how many texts it has."""
    faults = []
    page = context.new_page()
    page.on("console", lambda message: message.type in ("error", "warning")
            and faults.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", lambda request: not request.url.startswith((origin, "data:", "blob:"))
            and faults.append(f"a request for {request.url}"))
    page.on("response", lambda response: response.status >= 400
            and faults.append(f"status {response.status} of {response.url}"))
    try:
        page.goto(f"{origin}{address}/", wait_until="load", timeout=30_000)
        page.wait_for_selector("main h1", timeout=30_000)
        # A picture below the window would wait for a reader to come.
        page.evaluate("for (const picture of document.images) picture.loading = 'eager'")
        page.wait_for_function("[...document.images].every(picture => picture.complete)", timeout=30_000)
        # What follows the first drawing: the navigator, on a wide window.
        page.wait_for_timeout(150)
    except Exception as error:  # A page that never shows is told with its other faults.
        faults.append(f"did not come up: {str(error).splitlines()[0]}")
    found = page.evaluate(INSPECT)
    faults += found["faults"]
    for link in sorted(set(found["links"])):
        parts = urllib.parse.urlsplit(link)
        if link.startswith(origin) and leads_nowhere(site, parts.path):
            faults.append(f"a link to {parts.path}, which is not there")
    if screenshot:
        page.screenshot(path=screenshot, full_page=True)
    page.close()
    return faults, found["texts"]


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("site", type=pathlib.Path, metavar="SITE")
    parser.add_argument("--chromium", required=True, metavar="PROGRAM")
    parser.add_argument("--screenshots", type=pathlib.Path, metavar="FOLDER", help="default: none are taken")
    arguments = parser.parse_args()
    site = arguments.site.resolve()
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    articles, symbols = pages(site)
    if len(articles) < 10 or len(symbols) < 10:
        sys.exit(f"check_site: only {len(articles)} articles and {len(symbols)} other pages in {site}")
    origin = served(site)
    bad = opened = 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.chromium, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            phone = browser.new_context(**PHONE, color_scheme=scheme)
            wide = browser.new_context(**WIDE, color_scheme=scheme)
            views = [(phone, "phone", address) for address in articles + symbols]
            views += [(wide, "wide", address) for address in (FRONT, *SYMBOLS)]
            for context, width, address in views:
                name = f"{address.removeprefix('/documentation/').replace('/', '-')}-{width}-{scheme}.png"
                picture = arguments.screenshots / name if arguments.screenshots else None
                faults, texts = check(context, origin, site, address, picture)
                if texts < 5:
                    faults.append(f"only {texts} texts are visible")
                opened += 1
                for fault in faults[:10]:
                    print(f"{address}, {width}, {scheme}: {fault}")
                bad += len(faults)
            phone.close()
            wide.close()
        browser.close()
    print(f"docs: {opened} views of {len(articles)} articles and {len(symbols)} other pages, {bad} faults")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
