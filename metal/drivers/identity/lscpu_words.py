"""The fields of lscpu in the languages that it prints them in: it follows the locale of whoever calls it.

A text is taken for a translated one by its first field, the architecture, because other words are short
enough ("CPU") to be keys of /proc/cpuinfo too. Chinese ends a field's name with a colon of full width.
"""

from typing import Final

from metal.drivers.tool_text import Line

_COLONS: Final = ":\uff1a"
_ARCHITECTURE: Final = (
    "architektur",  # German
    "architecture",  # English, and French, which sets a blank before the colon
    "arquitectura",  # Spanish, Portuguese
    "arquitetura",  # Portuguese of Brazil
    "architektura",  # Polish, Czech
    "architectuur",  # Dutch
    "arkitektur",  # Swedish, Danish
    "архитектура",
    "архітектура",
    "アーキテクチャ",
    "架构",
    "架構",
)
_NAMES: Final = {
    "cpu(s)": ("processeur(s)", "cpu", "počet cpu", "cpu's", "cpu(er)", "cpu'er", "процесори"),
    "socket(s)": (
        "sockel",
        "«socket(s)»",
        "soquete(s)",
        "sockets",
        "gniazd",
        "patic",
        "cpu-voeten",
        "uttag",
        "sokler",
        "сокетов",
        "сокети",
        "ソケット数",
        "座",
    ),
    "core(s) per socket": (
        "kern(e) pro sockel",
        "cœur(s) par socket",
        "núcleo(s) por «socket»",
        "núcleo(s) por soquete",
        "núcleos por socket",
        "rdzeni na gniazdo",
        "jader na patici",
        "kernen per voet",
        "kärn(or) per uttag",
        "kerner per sokkel",
        "ядер на сокет",
        "ソケットあたりのコア数",
        "每个座的核数",
        "每通訊端核心數",
    ),
    "model name": (
        "modellname",
        "nom de modèle",
        "nombre del modelo",
        "nome do modelo",
        "nazwa modelu",
        "název modelu",
        "modelnaam",
        "modellnamn",
        "modelnavn",
        "имя модели",
        "назва моделі",
        "モデル名",
        "型号名称",
    ),
}
_ENGLISH: Final = {
    **dict.fromkeys(_ARCHITECTURE, "architecture"),
    **{word: english for english, words in _NAMES.items() for word in words},
}


def english(name: str) -> str:
    """The English name, in lower case and without its colon, of a field; another name as it is."""
    plain = name.strip().rstrip(_COLONS).strip().lower()
    return _ENGLISH.get(plain, plain)


def in_english(lines: tuple[Line, ...]) -> tuple[Line, ...]:
    """The lines with the fields that we read named in English, if the text is a translated one."""
    if not any(_parts(line)[0] in _ARCHITECTURE for line in lines):
        return lines
    return tuple(_renamed(line) for line in lines)


def _renamed(line: Line) -> Line:
    name, value = _parts(line)
    return Line(line.number, f"{_ENGLISH[name]}: {value}") if name in _ENGLISH else line


def _parts(line: Line) -> tuple[str, str]:
    """Name and value; the name of a line without a colon is empty."""
    places = [place for colon in _COLONS if (place := line.text.find(colon)) >= 0]
    if not places:
        return "", line.text
    place = min(places)
    return line.text[:place].strip().lower(), line.text[place + 1 :].strip()
