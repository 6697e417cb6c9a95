"""Build the Cython modules; without a C compiler the pure twins serve, unless FASTCHAT_REQUIRE_EXT=1.

FASTCHAT_PURE=1 builds none. FASTCHAT_CFLAGS replaces the compiler's flags, for sanitizers and debuggers.
"""

import os
from pathlib import Path

from setuptools import Extension, setup


def extensions() -> list[Extension]:
    required = os.environ.get("FASTCHAT_REQUIRE_EXT") == "1"
    if os.environ.get("FASTCHAT_PURE") == "1" and not required:
        return []
    try:
        from Cython.Build import cythonize
    except ImportError:
        if required:
            raise
        return []
    flags = os.environ.get("FASTCHAT_CFLAGS", "-O3").split()
    link_flags = [flag for flag in flags if "sanitize" in flag]
    sources = [
        Extension(
            ".".join(path.with_suffix("").parts),
            [path.as_posix()],
            include_dirs=["fastchat"],
            extra_compile_args=flags,
            extra_link_args=link_flags,
        )
        for path in sorted(Path("fastchat").rglob("*.pyx"))
    ]
    built = cythonize(sources, language_level=3, build_dir="build/cython")
    for extension in built:
        extension.optional = not required  # cythonize() drops the flag, so it is set afterwards
    return built


setup(ext_modules=extensions())
