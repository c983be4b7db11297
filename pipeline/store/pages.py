"""A bucket listed by several requests at a time, where its folders allow it, with what one after the other would give.

A listing is a chain: each page says where the next one begins, so the way to the store and back sets the pace. Where
the keys of a page lie in few folders, S3 is asked for all of them, and each becomes a chain of its own.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

REQUESTS = 8
"""At once. With more, reading the answers takes all of a core."""

WORTH_KEYS = 500
"""A folder with fewer keys isn't worth a request of its own: a page holds 1000, and with half-empty ones what is gained
on the way is lost to reading more answers."""

Answer = dict[str, Any]
Objects = list[dict[str, Any]]


@dataclass(eq=False)
class _Chain:
    """The pages of one prefix. before: keys that were listed before it began. own: those of its pages since its folders
    were asked for, None: they weren't, or don't divide it. folders: the answer.

    Servers other than AWS list in orders of their own, so what is left to list is told by these keys.
    """

    prefix: str
    before: frozenset[str] = frozenset()
    own: set[str] | None = None
    asked: bool = False
    folders: Answer | None = None

    def answered(self, folders: Answer) -> None:
        if folders.get("CommonPrefixes") and not folders["IsTruncated"]:
            self.folders = folders
        else:
            self.own = None

    def parts(self) -> list[_Chain]:
        known = self.before | (self.own or set())
        prefixes = [folder["Prefix"] for folder in (self.folders or {})["CommonPrefixes"]]
        return [_Chain(each, frozenset(key for key in known if key.startswith(each))) for each in prefixes]

    def beside(self) -> Objects:
        """What lies in no folder and wasn't listed yet."""
        known = self.before | (self.own or set())
        return [one for one in (self.folders or {}).get("Contents", ()) if one["Key"] not in known]


def pages(client: Any, bucket: str, prefix: str) -> Generator[Objects]:
    """Each object whose key begins with the prefix, once, in no order, as ListObjectsV2 has it under `Contents`.

    Raises what boto3 raises. About REQUESTS pages are in memory.
    """
    waiting, running = [_Chain(prefix)], dict[Future[Answer], tuple[_Chain, bool]]()
    threads = ThreadPoolExecutor(REQUESTS, thread_name_prefix="listing")

    def ask(chain: _Chain, **more: str) -> None:
        asked = threads.submit(client.list_objects_v2, Bucket=bucket, Prefix=chain.prefix, **more)
        running[asked] = chain, "Delimiter" in more

    try:
        while waiting or running:
            while waiting and len(running) < REQUESTS:
                ask(waiting.pop())
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                (chain, is_of_folders), answer = running.pop(done), done.result()
                if is_of_folders:
                    chain.answered(answer)
                    continue
                objects = answer.get("Contents", [])
                if answer["IsTruncated"]:  # ask first: the store answers while this page is made use of
                    if not chain.asked and _are_in_few_folders(objects, chain.prefix):
                        chain.asked, chain.own = True, set()
                        ask(chain, Delimiter="/")
                    if chain.own is not None:
                        chain.own |= {one["Key"] for one in objects}
                    if chain.folders:
                        yield chain.beside()
                        waiting += chain.parts()
                    else:
                        ask(chain, ContinuationToken=answer["NextContinuationToken"])
                yield [one for one in objects if one["Key"] not in chain.before]
    finally:
        threads.shutdown(cancel_futures=True)


def _are_in_few_folders(objects: Objects, prefix: str) -> bool:
    """Whether these keys lie in folders below the prefix, and so few that each may hold many."""
    names = {name for name, slash, _ in (one["Key"][len(prefix) :].partition("/") for one in objects) if slash}
    return 0 < len(names) * WORTH_KEYS <= len(objects)
