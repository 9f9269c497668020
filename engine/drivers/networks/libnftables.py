"""Call libnftables in this process. libnftables(3), libnftables-json(5).

A binding of our own, though only ``runtime/linux.py`` should know ctypes: libnftables's Python
module is not on PyPI (what is there are stale copies of it), Debian's package belongs to the
distribution's interpreter, and starting ``nft`` costs 15 to 28 ms where a call costs 0.2. It is
kept out of ``runtime`` because the forked processes never need it.
"""

import ctypes
import json
from types import TracebackType
from typing import Any, Final, Self

LIBRARY: Final = "libnftables.so.1"

# nftables/libnftables.h
NFT_CTX_DEFAULT: Final = 0
NFT_CTX_OUTPUT_JSON: Final = 1 << 4
NFT_CTX_OUTPUT_NUMERIC_PROTO: Final = 1 << 7


class NftError(Exception):
    """nft refused; the text is its own, with the place in the input."""


def _load() -> ctypes.CDLL:
    library = ctypes.CDLL(LIBRARY)
    context, text, flags = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint
    for name, result, *arguments in (
        ("nft_ctx_new", context, ctypes.c_uint32),
        ("nft_ctx_free", None, context),
        ("nft_ctx_output_set_flags", None, context, flags),
        ("nft_ctx_buffer_output", ctypes.c_int, context),
        ("nft_ctx_buffer_error", ctypes.c_int, context),
        ("nft_ctx_get_output_buffer", text, context),
        ("nft_ctx_get_error_buffer", text, context),
        ("nft_run_cmd_from_buffer", ctypes.c_int, context, text),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Nftables:
    """A context: bound to the network namespace of the thread that made it, and to be used by that
    thread.

    Raises:
        OSError: libnftables is not installed.
    """

    def __init__(self) -> None:
        self._library = _load()
        self._context = self._library.nft_ctx_new(NFT_CTX_DEFAULT)
        if not self._context:
            raise MemoryError("nft_ctx_new")
        self._library.nft_ctx_output_set_flags(
            self._context, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_NUMERIC_PROTO
        )
        self._library.nft_ctx_buffer_output(self._context)
        self._library.nft_ctx_buffer_error(self._context)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the context and its sockets."""
        if self._context:
            self._library.nft_ctx_free(self._context)
            self._context = None

    def run(self, commands: str) -> str:
        """Carry out commands in nft(8)'s language as one transaction; what they print.

        Raises:
            NftError: none of them was carried out.
        """
        failed = self._library.nft_run_cmd_from_buffer(self._context, commands.encode())
        printed: bytes = self._library.nft_ctx_get_output_buffer(self._context) or b""
        if failed:
            refusal: bytes = self._library.nft_ctx_get_error_buffer(self._context) or b""
            raise NftError(
                refusal.decode(errors="replace").strip() or "nft failed and said nothing"
            )
        return printed.decode(errors="replace")

    def objects(self, commands: str) -> list[dict[str, Any]]:
        """What a ``list`` or ``get`` command finds, one dictionary for each object, without nft's
        own preamble.

        Raises:
            NftError: as :meth:`run`; there is no such thing, too.
        """
        printed = self.run(commands)
        found: list[dict[str, Any]] = json.loads(printed)["nftables"] if printed else []
        return [each for each in found if "metainfo" not in each]
