# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""The one place that imports pydantic.

Everything else takes pydantic's names from here. Where pydantic is missing (``ansible-test sanity --test import`` runs
without it) or is version 1, stand-ins let the modules be imported; :func:`require` then says what to install before
anything is validated.
"""

from __future__ import annotations

from typing import Any

try:
    import pydantic

    if int(pydantic.VERSION.split(".", maxsplit=1)[0]) < 2:
        raise ImportError(f"pydantic {pydantic.VERSION} is too old")
    from pydantic import (
        AfterValidator,
        BaseModel,
        BeforeValidator,
        ConfigDict,
        Field,
        PrivateAttr,
        SecretStr,
        ValidationError,
        field_serializer,
        field_validator,
        model_validator,
    )
    from pydantic_core import PydanticUndefined

    PYDANTIC_IMPORT_ERROR: ImportError | None = None
except ImportError as _exc:
    PYDANTIC_IMPORT_ERROR = _exc

    def _nothing(*_args: Any, **_kwargs: Any) -> Any:
        return None

    def _decorator(*_args: Any, **_kwargs: Any) -> Any:
        return lambda function: function

    class BaseModel:  # type: ignore[no-redef]
        """Stand-in: a class to inherit from."""

    class SecretStr:  # type: ignore[no-redef]
        """Stand-in: a name for annotations."""

    class ValidationError(ValueError):  # type: ignore[no-redef]
        """Stand-in: never raised."""

    PydanticUndefined = None  # type: ignore[assignment]
    AfterValidator = BeforeValidator = ConfigDict = Field = PrivateAttr = _nothing  # type: ignore[assignment,misc]
    field_serializer = field_validator = model_validator = _decorator

__all__ = [
    "PYDANTIC_IMPORT_ERROR",
    "AfterValidator",
    "BaseModel",
    "BeforeValidator",
    "ConfigDict",
    "Field",
    "PrivateAttr",
    "PydanticUndefined",
    "SecretStr",
    "ValidationError",
    "field_serializer",
    "field_validator",
    "model_validator",
    "require",
]


def require() -> None:
    """Refuse to go on without pydantic 2.

    :raises RuntimeError: pydantic is missing or too old; the text says what to install, and where
    """
    if PYDANTIC_IMPORT_ERROR is not None:
        raise RuntimeError(
            f"cortex.vllm needs pydantic 2 on the Ansible controller ({PYDANTIC_IMPORT_ERROR}). "
            "Install it beside ansible-core: python3 -m pip install 'pydantic>=2,<3'"
        )
