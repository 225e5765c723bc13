"""The hint painter: click on a photograph, choose a colour, and watch the network answer.

``hint_painter.js`` is what one sees. It knows no Python: it asks a colourer through a few
messages, which its first lines list. In a notebook the kernel answers (`colourer`, brought there
by `widget`); on a web page the same weights do as ONNX files (``onnx_colourer.js``, put
together by `page`).
"""


def __getattr__(name: str):
    """Import the widget only when it is wanted: it alone needs anywidget."""
    if name != "HintPainter":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import anywidget  # noqa: F401
    except ImportError:
        raise ImportError("HintPainter needs one more package: pip install anywidget") from None
    from course_lib.hint_painter.widget import HintPainter

    return HintPainter
