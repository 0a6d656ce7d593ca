"""store.conf: the settings of a store, as `allie store init` begins it."""

from __future__ import annotations

import configparser
import re

from allie.core.errors import SettingsError
from allie.core.value import Value
from allie.machine.files import atomic
from allie.server.places import PLAIN_PATH, Places

NAME = "store.conf"


class StoreConf(Value):
    """What [serve] says: who may read, how much of the server he may hold, where the keys are."""

    allowed: str
    connections: int = 200
    timeout: int = 120  # seconds in which nothing goes either way; PCs ask for 60
    etc: str = ""  # "": the store's own etc
    exchange: str = "curve25519-sha256"  # key exchange of the ssh door, as sshd_config(5) has it


def read(store: str) -> StoreConf:
    """The settings of a store. Raises SettingsError where they cannot be used."""
    path = f"{store}/{NAME}"
    ini = configparser.ConfigParser(interpolation=None)
    try:
        ini.read_string(atomic.read(path) or "")
    except configparser.Error as error:
        raise SettingsError(f"{path}: {' '.join(str(error).split())}") from error
    allowed = ini.get("serve", "hosts allow", fallback="").replace("\n", " ").strip()
    if not allowed:
        words = f"{path} does not say who may read"
        raise SettingsError(words, "hosts allow = … in section [serve]")
    usual = StoreConf(allowed)
    return StoreConf(
        allowed,
        _number(ini, "max connections", usual.connections),
        _number(ini, "timeout", usual.timeout),
        _directory(ini.get("serve", "etc", fallback="").strip()),
        _algorithms(ini.get("serve", "key exchange", fallback=usual.exchange).strip()),
    )


def places(store: str) -> Places:
    """Where the files of a store's doors are. store: its real path."""
    return Places(store, read(store).etc or f"{store}/etc")


def _number(ini: configparser.ConfigParser, key: str, default: int) -> int:
    value = ini.get("serve", key, fallback=str(default)).strip()
    if not re.fullmatch("[1-9][0-9]{0,5}", value):
        raise SettingsError(f"store.conf: {key} = {value!r} is no number from 1 to 999999")
    return int(value)


def _directory(path: str) -> str:
    if path and not re.fullmatch(PLAIN_PATH, path):
        words = f"store.conf: etc = {path!r} is no directory for the keys"
        raise SettingsError(words, "an absolute path of letters, digits, . _ + -")
    return path


def _algorithms(names: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9@.,+-]+", names):
        words = f"store.conf: key exchange = {names!r} is no list of algorithms"
        raise SettingsError(words, "names of `ssh -Q kex`, with commas between them")
    return names
