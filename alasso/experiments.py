"""From the names of a preset and a method, and changed settings, to one experiment."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from alasso import results
from alasso.errors import BadInput, check_name, require
from alasso.presets import METHODS, PRESETS, Surrogate
from alasso.protocol import Protocol, text
from alasso.results import Run
from alasso.surrogates import ALASSO, NoSurrogate

LARGEST_FLOAT = 3.4e38  # of float32


@dataclass(frozen=True)
class Experiment:
    """One method under one protocol: everything that determines a run but its seed."""

    preset: str
    method: str
    protocol: Protocol
    surrogate: Surrogate

    @property
    def digest(self) -> str:
        """Eight hex digits that change with any setting, and not with fields that have their default."""
        usual = {f.name: f.default for part in (self.protocol, self.surrogate) for f in fields(part)}
        unusual = {
            name: float(value) if isinstance(usual[name], float) else value  # 2 and 2.0 are one setting
            for name, value in _settings(self).items()
            if value != usual[name]
        }
        content = [self.preset, self.method, type(self.surrogate).__name__, unusual]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]

    def path(self, folder: Path, seed: int) -> Path:
        return Path(folder) / self.preset / f"{self.method}-{self.digest}-s{seed}.json"

    def load(self, folder: Path, seed: int) -> Run:
        """The record of a finished run. Raises BadInput if it is torn, another's, or was made with other settings."""
        path = self.path(folder, seed)
        record = results.load(path)
        if (record.preset, record.method, record.seed) != (self.preset, self.method, seed):
            raise BadInput(f"{path}: the record of `{record.command}` under another's name; delete it and run again")
        self.check(record, path)
        return record

    def check(self, record: Run, path: Path) -> None:
        """Raise BadInput unless the record at this path was made with these settings, those it knows of.

        A name says which settings differ from their defaults; if a default changes, the name does not.
        """
        known = {**record.protocol, **record.hyperparameters}
        for name, value in json.loads(json.dumps(_settings(self))).items():
            if name in known and known[name] != value:
                raise BadInput(f"{path}: made with {name}={known[name]}, not {value}; delete it and run again")

    @property
    def changes(self) -> list[str]:
        """The settings that differ from the preset's, as they are typed."""
        usual = _settings(_usual(self.preset, self.method))
        return [f"{name}={text(value)}" for name, value in _settings(self).items() if value != usual[name]]

    def command(self, seed: int) -> str:
        """What to type to make this run again."""
        changes = f" --set {' '.join(self.changes)}" if self.changes else ""
        return f"alasso run {self.preset} {self.method} --seed {seed}{changes}"


def experiment(preset: str, method: str, settings: Mapping[str, str] | None = None) -> Experiment:
    """The experiment of that name, with some settings changed; values as they are typed on a command line.

    Raises BadInput for a preset, method or setting that does not exist, and for a value that it cannot have.
    """
    check_name(f"preset {preset!r}", preset, PRESETS)
    check_name(f"method {method!r}", method, METHODS)
    usual = _usual(preset, method)
    protocol_names = {f.name for f in fields(Protocol)}
    known, protocol, hyperparameters = _settings(usual), {}, {}
    for name, typed in (settings or {}).items():
        check_name(f"setting {name!r} of {method}", name, known)
        target = protocol if name in protocol_names else hyperparameters
        target[name] = _value(name, text(typed), known[name])
    for name, value in hyperparameters.items():
        too_large = type(value) is float and LARGEST_FLOAT < abs(value) < math.inf
        require(not too_large, name, value, f"a number of float32, {LARGEST_FLOAT} at most")
    todo = replace(
        usual, protocol=replace(usual.protocol, **protocol), surrogate=replace(usual.surrogate, **hyperparameters)
    )
    _refuse_clashes(todo)
    return todo


def _usual(preset: str, method: str) -> Experiment:
    """With the settings of the preset, which need not be possible together."""
    chosen, base = METHODS[method], PRESETS[preset]
    surrogate = replace(chosen.surrogate, **base.hyperparameters.get(method, {}))
    return Experiment(preset, method, replace(base.protocol, **chosen.protocol), surrogate)


def _refuse_clashes(todo: Experiment) -> None:
    """Raise BadInput for what a method and a protocol cannot both have."""

    def refuse(clash: bool, what: str) -> None:
        if clash:
            raise BadInput(f"{todo.method} with {what}")

    protocol, surrogate = todo.protocol, todo.surrogate
    method, preset = METHODS[todo.method], PRESETS[todo.preset].protocol
    network, drop = f"network={protocol.network}", getattr(surrogate, "drop", False)
    if protocol.network != "mlp":
        permuted = method.protocol.get("permute_first", preset.permute_first)
        own = f"{protocol.network} has widths of its own; leave it out"
        refuse(protocol.hidden != preset.hidden, f"hidden={text(protocol.hidden)}: {own}")
        split = "split classes are not permuted; leave it out"
        refuse(protocol.permute_first != permuted, f"permute_first={text(protocol.permute_first)}: {split}")
        refuse(method.mean_field, f"{network}: the mean field is for the mlp; use a pmnist preset")
        refuse(drop, f"{network}, which has dropout: drop-transfer too; set drop=false")
    if protocol.network != "table-d":
        as_they_are = f"{protocol.network} takes images as they are; leave it out"
        refuse(protocol.image_side != preset.image_side, f"image_side={protocol.image_side}: {as_they_are}")
    if any(protocol.dropout):
        dropout = f"dropout={text(protocol.dropout)}"
        refuse(method.mean_field, f"{dropout}: the mean field has noise of its own; use dropout=0,0")
        refuse(drop, f"{dropout}: drop-transfer is dropout; set drop=false")
    if protocol.joint:
        mixed = "batches that mix all tasks need no surrogate; use the method multi"
        refuse(not isinstance(surrogate, NoSurrogate), f"joint=true: {mixed}")
    if isinstance(surrogate, ALASSO):
        read = {name: getattr(surrogate, name) for name in ("c_prime", "a_prime", "epsilon_prime")}  # by (7)
        unread = [f"{name}={value}" for name, value in read.items() if value != getattr(method.surrogate, name)]
        left_out = "(7) reads it, which perfect=false leaves out"
        refuse(not surrogate.perfect and bool(unread), f"{', '.join(unread)}: {left_out}")
        kept = "keep_maximum=true keeps Ω̂ from falling below 0; set one of the two only"
        refuse(surrogate.keep_maximum and not surrogate.floor, f"floor=false: {kept}")


def _settings(chosen: Experiment) -> dict:
    return {**asdict(chosen.protocol), **asdict(chosen.surrogate)}


def _value(name: str, typed: str, usual: object) -> object:
    """The typed text as a value of the same type as the usual one."""
    try:
        match usual:
            case bool():
                return {"true": True, "false": False}[typed.lower()]
            case float():
                return float(typed) + 0.0  # −0 is 0
            case tuple():
                return tuple(type(usual[0])(part) for part in typed.split(","))
            case _:
                return type(usual)(typed)
    except (ValueError, KeyError):
        kinds = {
            bool: "true or false",
            int: "a whole number",
            float: "a number",
            tuple: "numbers such as 200,200 or 0.2,0.5",
        }
        raise BadInput(f"{name}={typed}: {name} must be {kinds[type(usual)]}") from None
