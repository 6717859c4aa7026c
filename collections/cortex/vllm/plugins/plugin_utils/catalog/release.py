# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection.
"""The records of the catalogue: a release, its flags, its environment variables, its endpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Kind = Literal["value", "store_true", "store_false", "bool_optional", "bool_value", "list", "json"]


def normalise(spelling: str) -> str:
    """Bring a spelling of an option into the form of the catalogue's keys.

    vLLM takes ``_`` and ``-`` for one another in the name, up to the first dot or ``=``; what stands after a dot is
    the key of a JSON value and is kept (vllm/utils/argparse_utils.py, ``FlexibleArgumentParser.parse_args``; before
    0.11.1 vllm/utils.py or vllm/utils/__init__.py).

    Args:
        spelling: ``max_model_len``, ``max-model-len``, ``--max_model_len`` or a short form such as ``-tp``.

    Returns:
        ``--max-model-len``, or the short form unchanged.
    """
    if spelling.startswith("-") and not spelling.startswith("--"):
        return spelling
    name, dot, rest = spelling.removeprefix("--").partition(".")
    return "--" + name.replace("_", "-") + dot + rest


@dataclass(frozen=True, slots=True)
class Flag:
    """One option of a release's command line, as its own parser describes it.

    Attributes:
        name: The long spelling, ``--max-model-len``: the key of :attr:`Release.flags`.
        dest: Name of the parsed value in vLLM, ``max_model_len``.
        kind: How a value is given:
            ``value`` ``--x v``;
            ``store_true``/``store_false`` ``--x``, without value and without a negative form;
            ``bool_optional`` ``--x`` or :attr:`negation`, never with a value;
            ``bool_value`` ``--x true|false``, and ``--x`` alone where :attr:`nargs` is ``"?"``; where it is not
            (``--guided-decoding-disable-*`` of 0.11), any text counts as true;
            ``list`` ``--x a b`` (or ``--x a --x b`` where :attr:`repeat`);
            ``json`` ``--x '{…}'``.
        type: Of the value, or of one item of a list: ``str``, ``int``, ``float``, ``bool``, ``human_int`` (``8k`` =
            8000, ``8K`` = 8192), ``json``, ``json|str`` (JSON if it parses, else text), ``kvs``
            (``image=4,video=1``), ``csv`` (``0,1``), ``name=path`` (LoRA and prompt adapters).
        aliases: Other spellings of the same meaning, short forms included.
        negation: The documented spelling that sets the value to false (``bool_optional`` only).
        negations: Further accepted spellings that set it to false.
        nargs: Number of values as argparse writes it: ``"+"``, ``"*"``, ``"?"``, a number, or ``None`` for one.
        choices: The values that the parser accepts, or ``None`` when it does not check.
        default: vLLM's own default; for a configuration object ``None``, with its class in :attr:`default_class`.
        default_class: For instance ``CompilationConfig``: the default is that class's own defaults.
        const: The value of an option given without one (``nargs: "?"``).
        words: Words accepted beside numbers, such as ``auto`` for ``--max-model-len``.
        nullable: The word ``None`` is accepted and means no value.
        repeat: A list of which every item needs the option again.
        required: The parser refuses a command line without it.
        hidden: Accepted, not shown by ``--help``.
        deprecated: Why it should not be used any more, in vLLM's words; ``None`` when it may.
        group: Heading under which ``--help`` shows it, ``ModelConfig``.
        only: ``serve`` when only ``vllm serve`` knows it, not ``python3 -m vllm.entrypoints.openai.api_server``.
    """

    name: str
    dest: str
    kind: Kind
    type: str = "str"
    aliases: tuple[str, ...] = ()
    negation: str | None = None
    negations: tuple[str, ...] = ()
    nargs: str | int | None = None
    choices: tuple[Any, ...] | None = None
    default: Any = None
    default_class: str | None = None
    const: Any = None
    words: tuple[str, ...] = ()
    nullable: bool = False
    repeat: bool = False
    required: bool = False
    hidden: bool = False
    deprecated: str | None = None
    group: str | None = None
    only: str | None = None

    @classmethod
    def of(cls, name: str, data: Mapping[str, Any]) -> Flag:
        """Build the record from its line of the data file (lists become tuples, so that it stays immutable)."""
        values = dict(data)
        for key in ("aliases", "negations", "words", "choices"):
            if values.get(key) is not None:
                values[key] = tuple(values[key])
        values.setdefault("dest", name.removeprefix("--").replace("-", "_"))
        values.setdefault("kind", "value")
        return cls(name=name, **values)

    @property
    def is_boolean(self) -> bool:
        """True when the option is a switch, whatever its form."""
        return self.kind in ("store_true", "store_false", "bool_optional", "bool_value")

    @property
    def spellings(self) -> tuple[str, ...]:
        """Every spelling that sets the value as given; the negative ones are not among them."""
        return (self.name, *self.aliases)


@dataclass(frozen=True, slots=True)
class Variable:
    """One environment variable that a release's ``vllm/envs.py`` registers.

    Attributes:
        name: ``VLLM_LOGGING_LEVEL``.
        type: vLLM's annotation, ``bool``, ``int | None`` …; ``None`` when it gives none.
        default: What vLLM uses when it is unset (evaluated with nothing but ``HOME=/root`` set).
        choices: The values that vLLM accepts, where it checks.
        generated: The default is made up anew by every process (a random name).
    """

    name: str
    type: str | None = None
    default: Any = None
    choices: tuple[str, ...] | None = None
    generated: bool = False


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route of the API server, as its source declares it.

    Attributes:
        path: ``/v1/models``.
        methods: ``("GET",)``.
        dev: Only there when the server runs with ``VLLM_SERVER_DEV_MODE=1``.
    """

    path: str
    methods: tuple[str, ...]
    dev: bool = False


@dataclass(frozen=True, slots=True)
class Keys:
    """What the JSON of one option may hold: the fields of the class that reads it.

    Attributes:
        names: Keys; those of a mapping within are dotted, ``pass_config.fuse_norm_quant``.
        words: Of keys that take only certain words, those.
        lax: Any other key is dropped without a word; otherwise it ends the start.
    """

    names: frozenset[str]
    words: Mapping[str, list[str]] = field(default_factory=dict)
    lax: bool = False


@dataclass(frozen=True)
class Release:
    """One vLLM release.

    Attributes:
        version: ``0.32.0``, as published.
        entrypoint: Of the official image's ``vllm-openai`` target.
        data: The whole file; the properties below read from it on first use.
    """

    version: str
    entrypoint: list[str]
    data: Mapping[str, Any] = field(repr=False, compare=False)

    @cached_property
    def _made(self) -> dict[str, Flag]:
        return {}

    def _flag(self, name: str) -> Flag:
        """The record of one option, made on first use: a converge looks up a few of the three hundred."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = Flag.of(name, self.data["flags"][name])
        return made

    @cached_property
    def flags(self) -> dict[str, Flag]:
        """Every option, by its long name with dashes."""
        return {name: self._flag(name) for name in self.data["flags"]}

    @cached_property
    def environment(self) -> dict[str, Variable]:
        """Every variable of ``vllm/envs.py``, by name."""
        return {
            name: Variable(
                name,
                type=values.get("type"),
                default=values.get("default"),
                choices=tuple(values["choices"]) if values.get("choices") else None,
                generated=bool(values.get("generated")),
            )
            for name, values in self.data["environment"].items()
        }

    @cached_property
    def _spellings(self) -> dict[str, str]:
        flags: Mapping[str, Mapping[str, Any]] = self.data["flags"]
        # Names win over aliases, aliases over negations: 0.33 pairs --enable-x with --disable-x, and where a flag
        # of that very name exists the parser keeps the flag.
        found = {name: name for name in flags}
        for name, values in flags.items():
            for alias in values.get("aliases", ()):
                found.setdefault(alias, name)
        for name, values in flags.items():
            if "negation" in values:
                found.setdefault(values["negation"], name)
                for spelling in values.get("negations", ()):
                    found.setdefault(spelling, name)
        for name, values in flags.items():
            if "dest" in values:
                found.setdefault(normalise(values["dest"]), name)
        return found

    def flag(self, spelling: str) -> Flag | None:
        """The option that a spelling means in this release.

        Args:
            spelling: Any of ``max_model_len``, ``--max-model-len``, ``--max_model_len``, an alias (``-tp``), a
                negative form (``--no-enable-prefix-caching``), or a dotted form (``speculative_config.method``).
                Prefixes are **not** accepted, although argparse would: what is unique today is ambiguous in the next
                release. Ask :meth:`completions` for them.

        Returns:
            The flag, or ``None`` when this release does not know it.
        """
        key = normalise(spelling)
        found = self._spellings.get(key)
        if found is None and not spelling.startswith("-"):
            found = self._spellings.get("-" + spelling)  # a short form without its dash, `tp`
        if found is None and "." in key:
            found = self._spellings.get(key.partition(".")[0])
            # Dotted keys are for JSON values alone.
            if found is not None and not self._flag(found).type.startswith("json"):
                return None
        return self._flag(found) if found is not None else None

    def completions(self, spelling: str) -> tuple[str, ...]:
        """Long spellings that begin with this one: what argparse's abbreviation rule would take it for.

        Args:
            spelling: As for :meth:`flag`.

        Returns:
            Sorted spellings, empty when the release has the exact one or none begins so. argparse accepts an
            abbreviation only when there is exactly one.
        """
        key = normalise(spelling)
        if key in self._spellings or not key.startswith("--"):
            return ()
        return tuple(sorted(name for name in self._spellings if name.startswith(key)))

    def is_negative(self, spelling: str) -> bool:
        """True when the spelling sets its option to false (``--no-enable-prefix-caching``)."""
        key = normalise(spelling)
        flag = self.flag(spelling)
        return flag is not None and key not in flag.spellings and key in (flag.negation, *flag.negations)

    @property
    def model_positional(self) -> bool:
        """True when the official image's entrypoint takes the model as a positional argument (``vllm serve``)."""
        return self.entrypoint[:2] == ["vllm", "serve"]

    @property
    def source(self) -> dict[str, Any]:
        """What the file was made from: ``kind``, ``name`` and ``sha256`` of the released archive."""
        return dict(self.data["source"])

    @cached_property
    def endpoints(self) -> dict[str, Endpoint]:
        """Routes of the API server, by path."""
        return {
            path: Endpoint(path, tuple(values["methods"]), bool(values.get("dev")))
            for path, values in self.data.get("endpoints", {}).items()
        }

    @cached_property
    def keys(self) -> dict[str, Keys]:
        """What the JSON of options may hold, by their names in Python's spelling; only where a class reads it."""
        return {
            option: Keys(frozenset(known["names"]), known.get("words", {}), bool(known.get("lax")))
            for option, known in self.data.get("keys", {}).items()
        }

    @property
    def metrics(self) -> dict[str, str]:
        """Prometheus metrics by name (``vllm:…``) with their kind; counters are exposed with ``_total``."""
        return dict(self.data.get("metrics", {}))

    @property
    def speculative_methods(self) -> tuple[str, ...]:
        """Values of ``speculative_config.method``."""
        return tuple(self.data.get("speculative_methods", ()))

    @property
    def attention_backends(self) -> tuple[str, ...]:
        """Names of attention backends, for ``--attention-backend`` or ``VLLM_ATTENTION_BACKEND``."""
        return tuple(self.data.get("attention_backends", ()))

    @property
    def quantization(self) -> dict[str, int | None]:
        """Quantization methods with the least compute capability times ten (``75``); ``None`` when unknown."""
        return dict(self.data.get("quantization", {}))

    @property
    def architectures(self) -> tuple[str, ...]:
        """Model architectures of the registry, as ``config.json`` names them."""
        return tuple(self.data.get("architectures", ()))

    @property
    def tool_parsers(self) -> tuple[str, ...]:
        """Values of ``--tool-call-parser``."""
        return tuple(self.data.get("tool_parsers", ()))

    @property
    def reasoning_parsers(self) -> tuple[str, ...]:
        """Values of ``--reasoning-parser``."""
        return tuple(self.data.get("reasoning_parsers", ()))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels of the official image."""
        return tuple(self.data.get("labels", ()))

    @property
    def batch_defaults(self) -> list[dict[str, Any]]:
        """Default ``max_num_batched_tokens`` and ``max_num_seqs`` of the API server by GPU memory, if known."""
        return list(self.data.get("batch_defaults", ()))
