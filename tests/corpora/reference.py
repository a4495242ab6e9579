"""What the programs of this folder know of Prisma and PostgreSQL by themselves: libpq without a package,
the order of a folder, a script cut into statements."""
import contextlib
import ctypes
import ctypes.util
import re

# JavaScript's localeCompare for printable ASCII; case only breaks ties, lower before upper.
ORDER = " _-,;:!?.'\"()[]{}@*/\\&#%`^+<=>|~$0123456789abcdefghijklmnopqrstuvwxyz"
NEEDS_SPLIT = ("25001", "55P04")  # active_sql_transaction, unsafe_new_enum_value_usage

pq = ctypes.CDLL(ctypes.util.find_library("pq") or "libpq.so.5")
pq.PQconnectdb.restype = pq.PQexec.restype = ctypes.c_void_p
for name in ("PQerrorMessage", "PQresultErrorField", "PQgetvalue"):
    getattr(pq, name).restype = ctypes.c_char_p
ignore_notice = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(lambda *_: None)


class SqlError(Exception):  # arguments: SQLSTATE, message
    pass


@contextlib.contextmanager
def connected(url):
    connection = ctypes.c_void_p(pq.PQconnectdb(url.encode()))
    pq.PQsetNoticeProcessor(connection, ignore_notice, None)
    try:
        yield connection
    finally:
        pq.PQfinish(connection)


def send(connection, sql):
    """Send sql (bytes) as one simple query; return the last result's rows."""
    is_open = pq.PQstatus(connection) == 0
    result = ctypes.c_void_p(pq.PQexec(connection, sql) if is_open else None)
    try:
        if pq.PQresultStatus(result) not in (0, 1, 2):  # empty query, command ok, tuples ok
            state = pq.PQresultErrorField(result, ord("C")) or b"no result"
            message = pq.PQerrorMessage(connection).decode(errors="replace")
            raise SqlError(state.decode(), " ".join(message.split()))
        return [tuple(pq.PQgetvalue(result, row, column).decode()
                      for column in range(pq.PQnfields(result)))
                for row in range(pq.PQntuples(result))]
    finally:
        pq.PQclear(result)


def execute(url, *texts):
    """Send each of these (bytes) on one new connection; return the last result's rows."""
    with connected(url) as connection:
        return [send(connection, sql) for sql in texts][-1]


def locale_key(name):
    weights = [ORDER.find(c) if c in ORDER else len(ORDER) + ord(c) for c in name.lower()]
    return weights, [c.isupper() for c in name]


def migrations_of(folder):
    return sorted((entry.name for entry in folder.iterdir()
                   if entry.is_dir() and not entry.is_symlink()), key=locale_key)


# What may hold a semicolon that ends nothing: comments, texts, names, bodies.
LEXEME = re.compile(r"""--[^\n]*|/\*.*?\*/|(?<!\w)[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|"(?:[^"]|"")*"|"""
                    r"""(?<![\w$])(\$(?:[A-Za-z_]\w*)?\$).*?\1|;""", re.DOTALL)
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
TRANSACTION = re.compile(r"(begin|start transaction|commit|end)\b", re.IGNORECASE)
DATA = re.compile(r"(insert|update|delete|truncate|do|select|call|with|merge|copy|refresh|create temp(orary)?)\b",
                  re.IGNORECASE)


def bare(statement):
    return " ".join(COMMENT.sub(" ", statement).split())


def statements_of(sql):
    """The statements of a script, but for those that begin and end a transaction."""
    cuts = [match.span() for match in LEXEME.finditer(sql) if match.group() == ";"] + [(len(sql), 0)]
    starts = [0] + [after for _, after in cuts]
    pieces = [sql[start:end] for start, (end, _) in zip(starts, cuts)]
    return [piece for piece in pieces if bare(piece) and not TRANSACTION.match(bare(piece))]


def is_data(statement):
    return DATA.match(bare(statement)) is not None


def apply(url, sql):
    """Whole, as Prisma does; each statement by itself where PostgreSQL wants that."""
    try:
        execute(url, sql.encode())
    except SqlError as error:
        if error.args[0] not in NEEDS_SPLIT:
            raise
        execute(url, *(one.encode() for one in statements_of(sql)))
