"""Reads a page as a browser would: its elements and its text."""

import html.parser

VOID = {"meta", "img", "br", "link", "input"}


class Page(html.parser.HTMLParser):
    """Attributes: elements, a list of (tag, attributes); texts, the pieces of text outside of style; unclosed tags."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self.unclosed = [], [], []
        self.feed(source)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.unclosed.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.unclosed and self.unclosed[-1] == tag, (tag, self.unclosed[-4:])
        self.unclosed.pop()

    def handle_data(self, text):
        if "style" not in self.unclosed:
            self.texts.append(text)
