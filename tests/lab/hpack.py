"""HPACK [RFC 7541]: reads any block of header fields; writes plain ones, and parts of odd ones."""

STATIC = [tuple(field.replace("_", " ").partition("=")[::2]) for field in """\
:authority :method=GET :method=POST :path=/ :path=/index.html :scheme=http :scheme=https
:status=200 :status=204 :status=206 :status=304 :status=400 :status=404 :status=500 accept-charset
accept-encoding=gzip,_deflate accept-language accept-ranges accept access-control-allow-origin age
allow authorization cache-control content-disposition content-encoding content-language
content-length content-location content-range content-type cookie date etag expect expires from host
if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link location
max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after server
set-cookie strict-transport-security transfer-encoding user-agent vary via www-authenticate
""".split()]
FIRST_DYNAMIC = len(STATIC) + 1

# How many bits each octet has, and the end: the code is a canonical one [RFC 7541 App. B].
LENGTHS = list(map(int, """\
13 23 28 28 28 28 28 28 28 24 30 28 28 30 28 28 28 28 28 28 28 28 30 28 28 28 28 28 28 28 28 28
6 10 10 12 13 6 8 11 10 10 8 11 8 6 6 6 5 5 5 6 6 6 6 6 6 6 7 8 15 6 12 10
13 6 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 7 8 7 8 13 19 13 14 6
15 5 6 5 6 5 6 6 6 5 7 7 6 6 6 5 6 7 6 5 5 6 7 7 7 7 7 15 11 14 13 28
20 22 20 20 22 22 22 23 22 23 23 23 23 23 24 23 24 24 22 23 24 23 23 23 23 21 22 23 22 23 23 24
22 21 20 22 22 23 23 21 23 22 22 24 21 22 23 23 21 21 22 21 23 22 23 23 20 22 22 22 23 22 22 23
26 26 20 19 22 23 22 25 26 26 26 27 27 26 24 25 19 21 26 27 27 26 27 24 21 21 26 26 28 27 27 27
20 24 20 21 22 21 21 23 22 22 25 25 24 24 26 23 26 27 26 26 27 27 27 27 27 28 27 27 27 27 27 26
30""".split()))


def canonical():
    """(length, code) -> octet."""
    codes, code, last = {}, 0, 0
    for length, octet in sorted((length, octet) for octet, length in enumerate(LENGTHS)):
        code <<= length - last
        codes[length, code] = octet
        code, last = code + 1, length
    return codes


CODES = canonical()


def unpack(octets):
    """A string in Huffman's code; what is left over is padding."""
    out, code, length = bytearray(), 0, 0
    for octet in octets:
        for shift in range(7, -1, -1):
            code, length = code << 1 | octet >> shift & 1, length + 1
            found = CODES.get((length, code))
            if found is not None:
                out.append(found)
                code = length = 0
    return bytes(out)


class Decoder:
    """Fields that come, with the table that both sides keep."""

    def __init__(self):
        self.table, self.limit, self.size = [], 4096, 0  # the newest first
        self.block, self.at = b"", 0

    def decode(self, block):
        """[(name, value)] as text."""
        self.block, self.at = block, 0
        fields = []
        while self.at < len(block):
            first = block[self.at]
            if first & 0x80:
                fields.append(self.entry(self.integer(7)))
            elif first & 0xe0 == 0x20:
                self.limit = self.integer(5)
                self.evict()
            else:
                fields.append(self.literal(first & 0x40))
        return fields

    def literal(self, keep):
        index = self.integer(6 if keep else 4)
        name = self.entry(index)[0] if index else self.string()
        field = (name, self.string())
        if keep:
            self.table.insert(0, field)
            self.size += size_of(field)
            self.evict()
        return field

    def evict(self):
        while self.size > self.limit:
            self.size -= size_of(self.table.pop())

    def entry(self, index):
        return STATIC[index - 1] if index < FIRST_DYNAMIC else self.table[index - FIRST_DYNAMIC]

    def integer(self, bits):
        most = (1 << bits) - 1
        number, shift = self.block[self.at] & most, 0
        self.at += 1
        while number >= most:
            octet = self.block[self.at]
            self.at += 1
            number += (octet & 0x7f) << shift
            shift += 7
            if not octet & 0x80:
                break
        return number

    def string(self):
        packed = self.block[self.at] & 0x80
        size = self.integer(7)
        octets = self.block[self.at:self.at + size]
        self.at += size
        return (unpack(octets) if packed else octets).decode("latin-1")


def size_of(field):
    return len(field[0]) + len(field[1]) + 32


# ---- writing ----

def integer(number, bits, first=0):
    most = (1 << bits) - 1
    if number < most:
        return bytes([first | number])
    out, number = bytearray([first | most]), number - most
    while number >= 0x80:
        out.append(number & 0x7f | 0x80)
        number >>= 7
    return bytes(out) + bytes([number])


def string(text):
    octets = text.encode("latin-1")
    return integer(len(octets), 7) + octets


def literal(name, value, first=0x00):
    """A field in full: kept in no table; first 0x40: kept in the other side's."""
    return bytes([first]) + string(name) + string(str(value))


def indexed(number):
    """A field of a table."""
    return integer(number, 7, 0x80)


def encode(fields):
    return b"".join(literal(name, value) for name, value in fields)
