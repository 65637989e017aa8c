# Draws for those who measure: eight seconds of small changes at uneven intervals, then four of whole screens, again and
# again. Each change carries its own time in a row of black and white cells at the top: a bit that says which of both it
# is, the clock's milliseconds (24 bits), the number of the change (15), and the sum of these five bytes (8).
import ctypes, random, time

CELL, CELLS = 8, 48
WIDTH, HEIGHT = 1280, 800
SMALL_SECONDS, WHOLE_SECONDS = 8, 4

x = ctypes.CDLL("libX11.so.6")
p, u, i = ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int
x.XOpenDisplay.restype = p
for name, arguments, result in [
    ("XDefaultRootWindow", [p], u),
    ("XCreateWindow", [p, u, i, i, i, i, i, i, i, p, u, p], u),
    ("XMapRaised", [p, u], i),
    ("XCreateGC", [p, u, u, p], p),
    ("XCreatePixmap", [p, u, i, i, i], u),
    ("XSetForeground", [p, p, u], i),
    ("XFillRectangle", [p, u, p, i, i, i, i], i),
    ("XFillRectangles", [p, u, p, p, i], i),
    ("XCopyArea", [p, u, u, p, i, i, i, i, i, i], i),
    ("XFlush", [p], i),
    ("XSync", [p, i], i),
]:
    function = getattr(x, name)
    function.argtypes, function.restype = arguments, result


# XSetWindowAttributes and XRectangle of X11/Xlib.h.
class Attributes(ctypes.Structure):
    _fields_ = [("background_pixmap", u), ("background_pixel", u), ("border_pixmap", u), ("border_pixel", u),
                ("bit_gravity", i), ("win_gravity", i), ("backing_store", i), ("backing_planes", u),
                ("backing_pixel", u), ("save_under", i), ("event_mask", u), ("do_not_propagate_mask", u),
                ("override_redirect", i), ("colormap", u), ("cursor", u)]


class Rectangle(ctypes.Structure):
    _fields_ = [("x", ctypes.c_short), ("y", ctypes.c_short), ("width", ctypes.c_ushort), ("height", ctypes.c_ushort)]


display = x.XOpenDisplay(b":0")
root = x.XDefaultRootWindow(display)
CW_OVERRIDE_REDIRECT = 1 << 9
window = x.XCreateWindow(display, root, 0, 0, WIDTH, HEIGHT, 0, 0, 1, None, CW_OVERRIDE_REDIRECT,
                         ctypes.byref(Attributes(override_redirect=1)))
x.XMapRaised(display, window)
context = x.XCreateGC(display, window, 0, None)

# A page of coloured words in lines, which is scrolled: as wide as the screen, as high, and repeated.
page = x.XCreatePixmap(display, root, WIDTH, HEIGHT, 24)
x.XSetForeground(display, context, 0xF7F7F5)
x.XFillRectangle(display, page, context, 0, 0, WIDTH, HEIGHT)
chance = random.Random(7)
for line in range(0, HEIGHT, 20):
    at = 12
    while at < WIDTH - 80:
        word = chance.randrange(12, 70)
        x.XSetForeground(display, context, chance.choice([0x1F2328, 0x0550AE, 0x953800, 0x116329, 0x6E7781]))
        for letter in range(at, at + word, 6):
            x.XFillRectangle(display, page, context, letter, line + chance.randrange(4, 7), 4, chance.randrange(6, 11))
        at += word + 8

number = 0
black, white = x.XCreateGC(display, window, 0, None), x.XCreateGC(display, window, 0, None)
x.XSetForeground(display, black, 0x000000)
x.XSetForeground(display, white, 0xFFFFFF)


# The white cells of each byte at each of the six places, as the server wants them: what is done between reading the clock
# and drawing counts as the screen's.
def cells(place, byte):
    return b"".join(bytes(Rectangle((place * 8 + bit) * CELL, 0, CELL, CELL)) for bit in range(8) if byte & 0x80 >> bit)


ready = [[cells(place, byte) for byte in range(256)] for place in range(6)]


def stamp(whole):
    global number
    number = (number + 1) % (1 << 15)
    now = int(time.time() * 1000) % (1 << 24)
    head = ((whole << 39) | (now << 15) | number).to_bytes(5, "big")
    a, b, c, d, e = head
    row = ready[0][a] + ready[1][b] + ready[2][c] + ready[3][d] + ready[4][e] + ready[5][sum(head) % 256]
    x.XFillRectangle(display, window, black, 0, 0, CELL * CELLS, CELL)
    x.XFillRectangles(display, window, white, row, len(row) // 8)


x.XCopyArea(display, page, window, context, 0, 0, WIDTH, HEIGHT, 0, 0)
while True:
    until = time.monotonic() + SMALL_SECONDS
    while time.monotonic() < until:
        time.sleep(random.uniform(0.08, 0.16))
        stamp(whole=False)
        x.XFlush(display)
    until = time.monotonic() + WHOLE_SECONDS
    scrolled = 0
    while time.monotonic() < until:
        began = time.monotonic()
        scrolled = (scrolled + 37) % HEIGHT
        x.XCopyArea(display, page, window, context, 0, scrolled, WIDTH, HEIGHT - scrolled, 0, 0)
        x.XCopyArea(display, page, window, context, 0, 0, WIDTH, scrolled, 0, HEIGHT - scrolled)
        stamp(whole=True)
        x.XSync(display, 0)
        time.sleep(max(0.0, 1 / 60 - (time.monotonic() - began)))
