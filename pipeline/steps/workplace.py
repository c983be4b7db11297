"""Where steps join stages: settings, stores, lake, tagger and recipe of one request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pipeline import context, decode, sampling, shots
from pipeline.errors import UsageError, unknown_name
from pipeline.lake.catalog import Lake, open_lake
from pipeline.recipe import Recipe
from pipeline.settings import Settings, load_settings
from pipeline.steps.decoders import Decoders
from pipeline.store import open_store, resolve_uri, scheme_of
from pipeline.store.base import Store
from pipeline.store.inventory import Manifest, read_manifest
from pipeline.taggers import open_tagger
from pipeline.taggers.base import Tagger
from pipeline.uris import stored_uri

if TYPE_CHECKING:
    from pipeline.store.http import HttpStore


_NOBODYS = ("openai_api_key", "airflow_url", "airflow_user", "airflow_password", "catalog")
"""Settings that no request shows."""

FETCH_S = 120.0
"""All of one media object that a stranger named has to come in this time: a thread waits for it."""


@dataclass
class Workplace:
    """Everything a step needs, opened when first asked for.

    request: settings by their names, as the command line, a DAG's params or an API call give them.
    """

    settings: Settings
    sources: tuple[str, ...]
    lake_uri: str
    _stores: dict[str, Store] = field(default_factory=dict)

    @classmethod
    def of(cls, request: dict[str, Any]) -> Workplace:
        """Raises UsageError for anything in the request that can't be meant."""
        settings = load_settings(**request)
        sampling.check_policy(settings.sampling)
        shots.check_detector(settings.shot_detector)
        if settings.decoder not in (known := ("auto", *decode.DECODERS)):
            raise unknown_name("decoder", settings.decoder, known)
        lake_uri = resolve_place(settings.lake).rstrip("/")
        if scheme_of(lake_uri).startswith("http"):
            raise UsageError(f"a lake can't lie at '{stored_uri(lake_uri)}': give a folder or s3://bucket/prefix")
        return cls(settings, tuple(dict.fromkeys(resolve_place(source) for source in settings.sources)), lake_uri)

    def store(self, uri: str) -> Store:
        """One store a scheme, shared by the threads of this step."""
        scheme = scheme_of(uri)
        if scheme not in self._stores:
            guarded = self.settings.callers_urls and scheme in ("http", "https")
            self._stores[scheme] = self.guarded(self.sources) if guarded else open_store(uri, self.sources)
        return self._stores[scheme]

    @cached_property
    def inventory(self) -> Manifest | None:
        """The inventory that sources are taken from, its manifest read once. Never for a caller's own URLs.

        Raises UsageError for a URI that can't be one's, StoreError for one that isn't there or isn't one.
        """
        if not self.settings.inventory or self.settings.callers_urls:
            return None
        uri = resolve_place(self.settings.inventory)
        if scheme_of(uri) not in ("s3", "") or uri.endswith("/"):
            raise UsageError(f"an inventory can't be '{stored_uri(uri)}': give s3://bucket/…/manifest.json or its path")
        return read_manifest(self.store(uri), uri)

    def guarded(self, urls: Sequence[str], *, reads_on: bool = False) -> HttpStore:
        """A store that goes wherever these URLs lead, but not into the network. reads_on: as HttpStore has it."""
        from pipeline.store.guard import MAX_REDIRECTS, GuardedTransport
        from pipeline.store.http import HttpStore

        guard = GuardedTransport(self.settings.fetch_allow_hosts, within_s=FETCH_S)
        return HttpStore(tuple(urls), transport=guard, max_redirects=MAX_REDIRECTS, reads_on=reads_on)

    def lake(self, *, create: bool = False, read_only: bool = True) -> Lake:
        store = self.store(self.lake_uri)
        return open_lake(self.lake_uri, store, catalog=self.settings.catalog, create=create, read_only=read_only)

    def tagger(self) -> Tagger:
        return open_tagger(self.settings)

    def recipe(self, tagger: Tagger) -> Recipe:
        """All that decides the answer."""
        chosen = self.settings
        identity = tagger.identity
        return Recipe(
            tagger=identity.tagger,
            model=identity.model,
            revision=identity.revision,
            prompt_version=identity.prompt_version,
            thresholds=identity.thresholds,
            vocabulary=identity.vocabulary,
            min_pixels=identity.min_pixels,
            max_pixels=identity.max_pixels,
            generation=identity.generation,
            context=context.recipe_part(chosen) if tagger.summarises else None,
            reuse_distance=chosen.reuse_distance,
            metadata=chosen.metadata,
            sampling=sampling.canonical(chosen.sampling),
            max_frames=chosen.max_frames,
            shot_detector=shots.version(chosen.shot_detector) if sampling.needs_shots(chosen.sampling) else None,
            better_frames=chosen.picks_better or None,
        )

    def decoders(self) -> Decoders:
        """As many as there are workers."""
        return Decoders(self.settings, self.settings.workers)

    def request(self) -> dict[str, Any]:
        """What was asked, fit to be kept: sources without user, password or signature."""
        asked = self.settings.model_dump(mode="json", exclude={"sources", "openai_base_url", *_NOBODYS})
        server = self.settings.openai_base_url
        return {**asked, "sources": shown(self.sources), "openai_base_url": stored_uri(server) if server else None}


def resolve_place(uri: str) -> str:
    resolved = resolve_uri(uri)
    bucket = resolved.removeprefix("s3://").partition("/")[0]
    if scheme_of(resolved) == "s3" and "@" in bucket:
        place = bucket.rpartition("@")[2]
        raise UsageError(f"an s3 URI holds no key: write s3://{place}/…, and set AWS_ACCESS_KEY_ID and its secret")
    return resolved


def shown(sources: Iterable[str]) -> list[str]:
    return [stored_uri(source) for source in sources]
