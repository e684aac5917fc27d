"""Answers to questions: addresses followed, entities chosen, opened and written as the standard writes them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from machnuoc.telemetry import history
from machnuoc.telemetry.sensorthings import filters, observations
from machnuoc.telemetry.sensorthings.filters import Expression, Interval, Many
from machnuoc.telemetry.sensorthings.model import KINDS, Entity, Id, Kind, in_path
from machnuoc.telemetry.sensorthings.observations import Row
from machnuoc.telemetry.sensorthings.options import ID_NAMES, Expand, NotThere, Options, QueryError, Step
from machnuoc.telemetry.sensorthings.world import SPANS, World

OPENED_MAX = 20_000
"""Entities in one answer, those opened by $expand included."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where an address leads: to one entity, or to a set, perhaps below an entity. rest: property steps behind it."""

    kind: Kind
    entity: Entity | None
    parent: Entity | None
    link: str
    rest: tuple[Step, ...]


def follow(world: World, steps: Sequence[Step]) -> Place:
    """Return where the address leads. Raises NotThere."""
    if not steps or steps[0].name not in KINDS:
        raise NotThere
    kind, parent, link = KINDS[steps[0].name], None, steps[0].name
    entity: Entity | None = None
    if steps[0].id is not None:
        entity = _get(world, kind, steps[0].id)
    for place, step in enumerate(steps[1:], start=1):
        if entity is None or step.name not in kind.links:
            return Place(kind, entity, parent, link, tuple(steps[place:]))
        parent, link = entity, step.name
        target = kind.links[link]
        kind = KINDS[target.target]
        if target.is_many:
            entity = None if step.id is None else _get(world, kind, step.id)
            if entity is not None and not _is_behind(world, parent, link, entity):
                raise NotThere
        else:
            if step.id is not None:
                raise NotThere
            others = world.related_ids(parent, link)
            entity = _get(world, kind, others[0]) if others else None
            if entity is None:
                raise NotThere
    return Place(kind, entity, parent, link, ())


def _get(world: World, kind: Kind, id_: Id) -> Entity:
    found = _get_observation(world, id_) if kind.name == "Observations" else world.find(kind.name, id_)
    if found is None:
        raise NotThere
    return found


def _get_observation(world: World, id_: Id) -> Entity | None:
    key = observations.read_id(id_)
    if key is None or key[0] not in world.channels:
        return None
    rows = history.read_raw(key[0], key[1], key[1] + 1)
    if not len(rows):
        return None
    return observations.entity(world, (*key, float(rows.value[0]), int(rows.quality[0])))


def _is_behind(world: World, parent: Entity, link: str, entity: Entity) -> bool:
    if entity.kind.name == "Observations":
        return entity.about["channel"] in world.channels_of(parent)
    return entity.id in world.related_ids(parent, link)


# --- writing ----------------------------------------------------------------------------------------------------------


@dataclass
class Writer:
    """Writes entities of a world as JSON. root: address of the service, with a slash at its end."""

    world: World
    root: str
    now: datetime
    opened: int = 0

    def address(self, entity: Entity) -> str:
        return f"{self.root}{entity.kind.name}({in_path(entity.id)})"

    def set_answer(self, place: Place, options: Options, *, only_links: bool = False) -> dict[str, Any]:
        """Return a page of the set that an address leads to."""
        base = self.root + (
            place.link if place.parent is None else f"{place.parent.kind.name}({in_path(place.parent.id)})/{place.link}"
        )
        if place.kind.name == "Observations":
            return self._observations_answer(place, options, base, only_links=only_links)
        ids = (
            self.world.ids(place.kind.name)
            if place.parent is None
            else self.world.related_ids(place.parent, place.link)
        )
        page, total = self.choose(place.kind, ids, options)
        answer: dict[str, Any] = {}
        if options.count:
            answer["@iot.count"] = total
        if options.page and options.skip + len(page) < total and page:
            answer["@iot.nextLink"] = next_link(base, options, "skip")
        answer["value"] = self._links(page) if only_links else self.write_all(page, options)
        return answer

    def _observations_answer(self, place: Place, options: Options, base: str, *, only_links: bool) -> dict[str, Any]:
        channels = list(self.world.channels) if place.parent is None else self.world.channels_of(place.parent)
        chosen = observations.select(self.world, channels, options.filter, self.now)
        page = observations.read_page(self.world, chosen, options, self.now)
        answer: dict[str, Any] = {}
        if options.count:
            answer["@iot.count"] = sum(observations.count(self.world, chosen, self.now).values())
        if page.next:
            answer["@iot.nextLink"] = next_link(base, options, page.next)
        if options.data_array:
            answer["value"] = self._data_arrays(page.rows, options)
        else:
            entities = [observations.entity(self.world, row) for row in page.rows]
            answer["value"] = self._links(entities) if only_links else self.write_all(entities, options)
        return answer

    def _links(self, entities: Iterable[Entity]) -> list[dict[str, str]]:
        return [{"@iot.selfLink": self.address(entity)} for entity in entities]

    def _data_arrays(self, rows: Sequence[Row], options: Options) -> list[dict[str, Any]]:
        """Return readings as rows of values, by Datastream, in the order in which Datastreams first come."""
        if options.expand:
            raise QueryError("$resultFormat=dataArray không đi cùng $expand.")
        kind = KINDS["Observations"]
        components = ["id", "phenomenonTime", "result", "resultTime"]
        if options.select is not None:
            chosen = ["id" if name in ID_NAMES else name for name in options.select if name not in kind.links]
            components = list(dict.fromkeys(chosen))
        groups: dict[int, list[list[Any]]] = {}
        for row in rows:
            entity = observations.entity(self.world, row)
            values = [entity.id if name == "id" else plain(entity.properties[name]) for name in components]
            groups.setdefault(row[0], []).append(values)
        return [
            {
                "Datastream@iot.navigationLink": f"{self.root}Datastreams({channel})", "components": components,
                "dataArray@iot.count": len(values), "dataArray": values,
            }
            for channel, values in groups.items()
        ]  # fmt: skip

    def choose(self, kind: Kind, ids: Sequence[Id], options: Options) -> tuple[list[Entity], int]:
        """Return a page of the entities that the options take, in their order, and how many there are of them."""
        if options.after:
            raise QueryError("$skiptoken chỉ dùng cho Observations.")
        wanted = slice(options.skip, options.skip + options.page)
        if options.filter is None and not options.orderby:
            found = [self.world.find(kind.name, id_) for id_ in ids[wanted]]
            return [each for each in found if each is not None], len(ids)
        entities = [entity for id_ in ids if (entity := self.world.find(kind.name, id_)) is not None]
        spoken = {*filters.paths(options.filter), *(names for names, _ in options.orderby)}
        if any(SPANS & set(names) for names in spoken):
            is_own = kind.name == "Datastreams" and all(len(names) == 1 for names in spoken)
            self.world.fill_spans(entities if is_own else self.world.all_datastreams())
        if options.filter is not None:
            entities = [each for each in entities if self._is_taken(each, options.filter)]
        for names, is_descending in reversed(options.orderby):
            keys = {each.id: _sort_key(self.world.look_up(each, names)) for each in entities}
            entities.sort(key=lambda each: keys[each.id], reverse=is_descending)
        return entities[wanted], len(entities)

    def _is_taken(self, entity: Entity, condition: Expression) -> bool:
        self.world.check_time()
        return filters.holds(condition, partial(self.world.look_up, entity), self.now)

    def write_all(self, entities: Sequence[Entity], options: Options) -> list[dict[str, Any]]:
        """Return the entities as JSON, with what is opened of them: one question to the store for all of them."""
        self.opened += len(entities)
        self.refuse_more_than(self.opened)
        shown = options.select
        if entities and entities[0].kind.name == "Datastreams" and (shown is None or SPANS & set(shown)):
            self.world.fill_spans(entities)
        written = [self._write_one(entity, shown, {expand.link for expand in options.expand}) for entity in entities]
        for expand in options.expand:
            self._open(entities, written, expand)
        return written

    def refuse_more_than(self, count: int) -> None:
        """Raise QueryError if an answer of so many entities is too large, or took too long to gather."""
        self.world.check_time()
        if count > OPENED_MAX:
            raise QueryError(f"Câu trả lời có hơn {OPENED_MAX} đối tượng. Giảm $top, ở trong $expand nữa.")

    def _write_one(self, entity: Entity, shown: tuple[str, ...] | None, opened: set[str]) -> dict[str, Any]:
        address = self.address(entity)
        written: dict[str, Any] = {}
        if shown is None:
            written["@iot.id"] = entity.id
            written["@iot.selfLink"] = address
        elif ID_NAMES & set(shown):
            written["@iot.id"] = entity.id
        for name in entity.kind.properties:
            if (shown is None or name in shown) and entity.properties.get(name) is not None:
                written[name] = plain(entity.properties[name])
        for link in entity.kind.links:
            if link not in opened and (shown is None or link in shown):
                written[f"{link}@iot.navigationLink"] = f"{address}/{link}"
        return written

    def _open(self, entities: Sequence[Entity], written: list[dict[str, Any]], expand: Expand) -> None:
        if not entities:
            return
        link, options = entities[0].kind.links[expand.link], expand.options
        kind = KINDS[link.target]
        if kind.name == "Observations":
            self._open_observations(entities, written, expand)
            return
        pages: list[list[Entity]] = []
        many = 0
        for entity, into in zip(entities, written, strict=True):
            ids = self.world.related_ids(entity, expand.link)
            if not link.is_many:
                found = self.world.find(kind.name, ids[0]) if ids else None
                pages.append([] if found is None else [found])
                continue
            page, total = self.choose(kind, ids, options)
            pages.append(page)
            many += len(page)
            self.refuse_more_than(self.opened + many)
            if options.count:
                into[f"{expand.link}@iot.count"] = total
            if page and options.skip + len(page) < total:
                into[f"{expand.link}@iot.nextLink"] = next_link(
                    f"{self.address(entity)}/{expand.link}", options, "skip"
                )
        flat = [entity for page in pages for entity in page]
        done = iter(self.write_all(flat, options))
        for into, page in zip(written, pages, strict=True):
            values = [next(done) for _ in page]
            into[expand.link] = values if link.is_many else (values[0] if values else None)

    def _open_observations(self, entities: Sequence[Entity], written: list[dict[str, Any]], expand: Expand) -> None:
        options = expand.options
        if entities[0].kind.name != "Datastreams":  # of a place: readings of all its channels together
            if len(entities) > PLACES_MAX:
                raise QueryError(
                    f"$expand=Observations của FeaturesOfInterest nhận nhiều nhất {PLACES_MAX} nơi một lần."
                )
            for entity, into in zip(entities, written, strict=True):
                place = Place(KINDS["Observations"], None, entity, expand.link, ())
                answer = self.set_answer(place, replace(options, data_array=False))
                into.update({f"{expand.link}{key}": value for key, value in answer.items() if key != "value"})
                into[expand.link] = answer["value"]
            return
        channels = sorted({int(entity.id) for entity in entities})
        if len(channels) * options.page > OPENED_MAX:
            options = replace(options, top=max(1, OPENED_MAX // len(channels)))
        chosen = observations.select(self.world, channels, options.filter, self.now)
        pages = observations.read_of_each(self.world, chosen, options, self.now)
        rows = [
            observations.entity(self.world, row) for entity in entities for row in pages.get(int(entity.id), ([],))[0]
        ]
        done = iter(self.write_all(rows, options))
        counts = observations.count(self.world, chosen, self.now) if options.count else {}
        for entity, into in zip(entities, written, strict=True):
            page, has_more = pages.get(int(entity.id), ([], False))
            into[expand.link] = [next(done) for _ in page]
            if options.count:
                into[f"{expand.link}@iot.count"] = counts.get(int(entity.id), 0)
            if has_more:
                base = f"{self.address(entity)}/{expand.link}"
                into[f"{expand.link}@iot.nextLink"] = next_link(base, options, "skip")


PLACES_MAX = 5


def _sort_key(value: Any) -> tuple[int, Any]:
    """Return what puts values of any kinds in one order: missing first, numbers, times, texts."""
    if isinstance(value, Many):
        value = min((each for each in value if each is not None), key=_sort_key, default=None)
    if isinstance(value, Interval):
        value = value.start
    if value is None:
        return (0, 0)
    if isinstance(value, (bool, int, float)):
        return (1, float(value))
    if isinstance(value, datetime):
        return (2, value)
    return (3, value if isinstance(value, str) else str(value))


def next_link(base: str, options: Options, cursor: str) -> str:
    """Return the address of the next page: the same options, and where it begins."""
    pairs = [(name, text) for name, text in options.said if name not in ("$skip", "$skiptoken")]
    pairs.append(("$skip", str(options.skip + options.page)) if cursor == "skip" else ("$skiptoken", cursor))
    return base + "?" + "&".join(f"{name}={quote(text, safe='(),:/$*')}" for name, text in pairs)


def plain(value: Any) -> Any:
    """Return the value as JSON has it: times as text."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, Interval):
        return f"{plain(value.start)}/{plain(value.end)}"
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value
