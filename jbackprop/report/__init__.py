"""One look for everything that is printed or saved: documents, their forms, numbers, and files.

A tool says what it found as a `Document`: a title, tables, plots and remarks.  `text`, `markdown`, `html`, `svg` and
`png` print any document, all pages share one style sheet that follows the reader's light or dark, and `save` writes the
form that a file's suffix names.  Nothing here knows a rule, a layer or a tool.
"""

from jbackprop.functions import described as described

from ._arrays import SHOWN as SHOWN
from ._arrays import brief as brief
from ._arrays import plain as plain
from ._arrays import written_out as written_out
from ._document import Cell as Cell
from ._document import Document as Document
from ._document import Dot as Dot
from ._document import Dots as Dots
from ._document import Figure as Figure
from ._document import Line as Line
from ._document import Mark as Mark
from ._document import Panel as Panel
from ._document import Span as Span
from ._document import Table as Table
from ._files import read as read
from ._files import save as save
from ._files import write as write
from ._forms import forms as forms
from ._html import filled as filled
from ._html import html as html
from ._html import html_table as html_table
from ._html import page as page
from ._markdown import markdown as markdown
from ._numbers import UNKNOWN as UNKNOWN
from ._numbers import count as count
from ._numbers import number as number
from ._numbers import ratio as ratio
from ._numbers import ratio_spread as ratio_spread
from ._numbers import seconds as seconds
from ._numbers import seconds_spread as seconds_spread
from ._numbers import share as share
from ._numbers import size as size
from ._numbers import superscript as superscript
from ._plots import check_available as check_available
from ._plots import png as png
from ._plots import svg as svg
from ._text import text as text
from ._theme import in_light as in_light
from ._theme import standalone as standalone
