# Copyright (c) 2026, Cortex vLLM contributors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Note that this plugin util is **PRIVATE** to the collection. It can have breaking changes at any time.
# Do not use it directly from other collections.

"""What runs inside of an image, or in the harvest's environment beside a source tree: never in Ansible itself.

:func:`script` makes one text of it for ``python3 -c`` in a one-off container, so that nothing has to be installed or
mounted there. The files import the standard library and each other; vLLM and its libraries only inside of functions.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

#: In the order in which they may import each other.
MODULES = ("flags", "stubs", "environment_variables", "keys", "parsers", "questions")
#: Of questions that import less of vLLM, or nothing.
FEWER = {
    "version": ("questions",),
    "plugins": ("questions",),
    "packages": ("questions",),
    "model": ("models", "questions"),
}
#: The longest that Linux passes as one argument is 128 KiB (MAX_ARG_STRLEN, include/uapi/linux/binfmts.h).
LONGEST = 128 * 1024 - 1

_START = """
import json, sys, types
package = types.ModuleType("inside")
package.__path__ = []
sys.modules["inside"] = package
for name, text in json.loads(SOURCES).items():
    module = types.ModuleType("inside." + name)
    module.__package__, module.__file__ = "inside", "<" + name + ">"
    sys.modules[module.__name__] = module
    setattr(package, name, module)
    exec(compile(text, module.__file__, "exec"), module.__dict__)
sys.modules["inside.questions"].main(json.loads(QUESTION))
"""


@lru_cache(maxsize=None)
def _sources(*names: str) -> str:
    return json.dumps({name: (Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8") for name in names})


def script(question: str, **asked: object) -> str:
    """The program that answers a question in an image.

    :param question: ``version``, ``parser``, ``argv``, ``plugins``, ``packages`` or ``model``
    :param asked: what goes with it, see ``questions.py``
    :raises ValueError: when it becomes longer than an argument may be
    """
    sources = _sources(*FEWER.get(question, MODULES))
    text = f"SOURCES = {sources!r}\nQUESTION = {json.dumps({'question': question, **asked})!r}\n{_START}"
    if len(text.encode()) > LONGEST:
        raise ValueError(f"the arguments are too long to be asked about ({len(text.encode())} bytes)")
    return text
