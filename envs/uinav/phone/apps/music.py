"""Music: songs and playlists, a page for each song, what plays now, and a timer to stop it."""

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from envs.uinav.interface.actions import Action
from envs.uinav.phone import words
from envs.uinav.phone.app import FEW, App, Route, Template, Values, register_app
from envs.uinav.phone.families import DELETE, Asked, questions, wordings
from envs.uinav.phone.oracle import Hands, tapping
from envs.uinav.phone.shared_widgets import tab_rows
from envs.uinav.phone.state import Phone, ask, go, put, put_item, swapped, with_item, without
from envs.uinav.phone.widgets import Widget, button, field, foot_button, icon, item, option, text, title, toggle

ADJECTIVES = words.Pool(
    (
        "Silver Hollow Distant Golden Broken Quiet Electric Winter Velvet Burning Lonely Crystal Wild Faded Secret "
        "Paper"
    ).split(),
    "Frozen Hidden Gentle Purple Restless Marble Humble Foggy Bitter Tender Iron Hungry".split(),
)
NOUNS = words.Pool(
    "Rain River Hearts Lights Echo Highway Mirror Garden Thunder Letters Ocean Shadow Summer Fire Window Stars".split(),
    "Valley Dancers Engine Planet Sailor Candle Bridges Feather Harvest Kingdom Wolves Circle".split(),
)
BAND, MEMBERS = (
    "Tin Amber Northern Marble Velour Copper Lunar Salty".split(),
    "Sparrows Ferries Otters Ladders Comets Clocks Pilots Walnuts".split(),
)
ARTISTS = words.Pool(
    (f"{band} {members}" for members in MEMBERS for band in BAND),
    (
        f"{band} {members}"
        for members in ("Foxes", "Tailors", "Rockets", "Owls")
        for band in ("Plain", "Cobalt", "Dusty")
    ),
)
MOODS, MOMENTS = (
    "Slow Sunny Rainy Late Loud Calm Happy Old".split(),
    "morning drive dinner workout evening party walk study".split(),
)
PLAYLISTS = words.Pool(
    (f"{mood} {moment}" for moment in MOMENTS for mood in MOODS),
    (f"{mood} {moment}" for moment in ("journey", "picnic", "nap") for mood in ("Lazy", "Brave", "Cozy", "Bright")),
)
OFF = "Off"
TIMES = tuple(f"{n} minutes" for n in (5, 10, 15, 20, 30, 40, 45, 60, 90))


def make(rng: Random) -> dict[str, Any]:
    """Songs with titles that look alike, and playlists of some of them."""
    count = 6 + int(rng.random() * 4)
    pairs = zip(words.some(rng, ADJECTIVES, count), words.some(rng, NOUNS, count), strict=True)
    titles = words.with_double(rng, [f"{a} {b}" for a, b in pairs])
    artists = words.some(rng, ARTISTS, count)
    songs = tuple(
        {
            "title": song,
            "artist": words.pick(rng, artists),
            "length": length(rng),
            "liked": i > 0 and rng.random() < 0.2,
        }
        for i, song in enumerate(titles)
    )
    lists = words.some(rng, PLAYLISTS, 2 + int(rng.random() * 3))
    return {
        "songs": songs,
        "playlists": tuple({"name": name, "songs": some_songs(rng, count)} for name in lists),
        "playing": int(rng.random() * count) if rng.random() < 0.3 else None,
        "timer": words.pick(rng, TIMES) if rng.random() < 0.2 else OFF,
        "shuffle": rng.random() < 0.5,
        "repeat": rng.random() < 0.5,
    }


def length(rng: Random) -> str:
    """Returns how long a song is."""
    seconds = 120 + int(rng.random() * 200)
    return f"{seconds // 60}:{seconds % 60:02d}"


def some_songs(rng: Random, count: int) -> tuple[int, ...]:
    """Up to three songs, by their numbers."""
    first = int(rng.random() * count)
    return tuple((first + 2 * i) % count for i in range(int(rng.random() * 4)))


# Pages


def songs(phone: Phone) -> Iterator[Widget]:
    """All songs."""
    yield from top(phone, "Songs")
    for i, song in enumerate(phone.data["songs"]):
        yield item(f"{song['title']}, {song['length']}", go, "song", i, name="song")


def playlists(phone: Phone) -> Iterator[Widget]:
    """All playlists."""
    yield from top(phone, "Playlists")
    yield _NEW
    for i, playlist in enumerate(phone.data["playlists"]):
        yield item(counted(playlist), go, "playlist", i, name="playlist")


def top(phone: Phone, chosen: str) -> Iterator[Widget]:
    """Yields what both tabs have."""
    yield from _TOPS[chosen]
    playing = phone.data["playing"]
    if playing is not None:
        yield foot_button(f"Now playing {phone.data['songs'][playing]['title']}", go, "playing")


def song(phone: Phone) -> Iterator[Widget]:
    """One song."""
    shown, index = phone.data["songs"][phone.arg], phone.arg
    plays = phone.data["playing"] == index
    yield title(shown["title"])
    yield icon("More", go, "menu", index)
    yield text(f"Artist {shown['artist']}", name="artist")
    yield text(f"Length {shown['length']}", name="length")
    liked = shown["liked"]
    buttons = [
        button("Pause" if plays else "Play", put, "playing", None if plays else index, share=2),
        button("Unlike" if liked else "Like", put_item, "songs", index, {"liked": not liked}, share=2),
    ]
    yield from phone.shuffled(buttons, "song buttons")


def menu(phone: Phone) -> Iterator[Widget]:
    """Yields what else can be done with a song."""
    yield title(phone.data["songs"][phone.arg]["title"])
    rows = [item("Add to playlist", go, "choose", phone.arg), item("Sleep timer", go, "timer")]
    yield from phone.shuffled(rows, "song menu")


def choose(phone: Phone) -> Iterator[Widget]:
    """Yields the playlists that a song can be added to."""
    yield title("Add to playlist")
    for i, playlist in enumerate(phone.data["playlists"]):
        yield item(counted(playlist), add, phone.arg, i, name="playlist")
    yield _NEW


def playlist(phone: Phone) -> Iterator[Widget]:
    """One playlist; a long press on a song takes it out."""
    shown = phone.data["playlists"][phone.arg]
    yield title(shown["name"])
    yield icon("Delete", ask, f"Delete {shown['name']}?", ("Delete", delete, phone.arg), ("Cancel",))
    for at, index in enumerate(shown["songs"]):
        name = phone.data["songs"][index]["title"]
        out = (ask, f"Take out {name}?", ("Remove", take_out, at), ("Cancel",))
        yield item(name, go, "song", index, name="song", hold=out)
    if not shown["songs"]:
        yield text("No songs yet")


def new(phone: Phone) -> Iterator[Widget]:
    """Yields a playlist to be made."""
    yield from _FORM
    yield _CREATE[bool(phone.typed("name"))]


def playing(phone: Phone) -> Iterator[Widget]:
    """Yields what plays now."""
    yield title("Now playing")
    index, all_songs = phone.data["playing"], phone.data["songs"]
    if index is None:
        yield text("Nothing is playing")
        return
    yield text(all_songs[index]["title"])
    yield text(f"Artist {all_songs[index]['artist']}")
    yield button("Pause", put, "playing", None, share=2)
    yield button("Next", put, "playing", (index + 1) % len(all_songs), share=2)


def options(phone: Phone) -> Iterator[Widget]:
    """Yields how music is played."""
    yield title("Options")
    data = phone.data
    rows = [
        toggle("Shuffle", data["shuffle"], put, "shuffle", not data["shuffle"]),
        toggle("Repeat", data["repeat"], put, "repeat", not data["repeat"]),
        item(f"Sleep timer, {data['timer']}", go, "timer"),
    ]
    yield from phone.shuffled(rows, "music options")


def timer(phone: Phone) -> Iterator[Widget]:
    """Yields when the music stops."""
    yield title("Sleep timer")
    for time in (OFF, *TIMES):
        yield option(time, phone.data["timer"] == time, put, "timer", time)


# What the buttons do


def counted(playlist: dict[str, Any]) -> str:
    """Returns the name of a playlist, and how many songs it has."""
    count = len(playlist["songs"])
    return f"{playlist['name']}, {count} song{'' if count == 1 else 's'}"


def add(phone: Phone, index: int, at: int) -> Phone:
    """Returns the phone where the song is in the playlist, and its page is shown."""
    to = phone.data["playlists"][at]
    if index in to["songs"]:
        return phone.say(f"Already in {to['name']}")
    added = swapped(phone.data["playlists"], at, songs=with_item(to["songs"], index))
    return phone.back(2).put(playlists=added).say(f"Added to {to['name']}")


def take_out(phone: Phone, at: int) -> Phone:
    """Returns the phone where the playlist that is shown is without this song."""
    songs_left = without(phone.data["playlists"][phone.arg]["songs"], at)
    return put_item(phone, "playlists", phone.arg, {"songs": songs_left})


def delete(phone: Phone, index: int) -> Phone:
    """Returns the phone where the playlist is gone, and the others are shown."""
    return phone.to_start().put(playlists=without(phone.data["playlists"], index)).say("Playlist deleted")


def create(phone: Phone) -> Phone:
    """Returns the phone with a playlist of this name, without songs."""
    name, lists = phone.typed("name"), phone.data["playlists"]
    if any(playlist["name"].casefold() == name.casefold() for playlist in lists):
        return phone.say(f"There is a playlist {name}"[:60])
    return phone.back().put(playlists=with_item(lists, {"name": name, "songs": ()})).say("Playlist created")


# What pages show on every phone, made once

_TABS = tab_rows({"Songs": "songs", "Playlists": "playlists"})
_TOPS = {chosen: (title("Music"), icon("More", go, "options"), *tabs) for chosen, tabs in _TABS.items()}
_NEW = button("New playlist", go, "new")
_FORM = (title("New playlist"), field("name", "Name"))
_CREATE = tuple(button("Create", create, enabled=enabled) for enabled in (False, True))


# Tasks


def one_of(fits: Callable[[Mapping[str, Any], int], bool]) -> Callable[[Random, Phone], Values]:
    """Draws one of the songs of which, given the data of the app and the number of the song, this is true."""

    def draw(rng: Random, phone: Phone) -> Values:
        data = phone.of("music")
        index = words.pick(rng, [i for i in range(len(data["songs"])) if fits(data, i)])
        song = data["songs"][index]
        return {"song": song["title"], "artist": song["artist"], "length": song["length"], "index": index}

    return draw


def none_of(rng: Random, phone: Phone) -> Values:
    """Returns a title like those of the songs that is not among them, and a playlist."""
    data = phone.of("music")
    title = words.mixed_up(rng, [song["title"] for song in data["songs"]])
    return {"song": title, "name": words.pick(rng, data["playlists"])["name"]}


def song_and_list(rng: Random, phone: Phone) -> Values:
    """Returns a playlist, and a song that is not in it."""
    lists = phone.of("music")["playlists"]
    at = int(rng.random() * len(lists))
    song = one_of(lambda data, i: i not in lists[at]["songs"])(rng, phone)
    return {**song, "name": lists[at]["name"], "at": at}


def one_list(rng: Random, phone: Phone) -> Values:
    """Returns a playlist."""
    lists = phone.of("music")["playlists"]
    at = int(rng.random() * len(lists))
    return {"name": lists[at]["name"], "at": at}


def draw_list(rng: Random, phone: Phone) -> Values:
    """Returns a name that no playlist has yet."""
    return {"name": words.other(rng, [p["name"] for p in phone.of("music")["playlists"]], PLAYLISTS)}


def draw_time(rng: Random, phone: Phone) -> Values:
    """Returns a time that the timer is not set to."""
    return {"time": words.other(rng, (phone.of("music")["timer"],), TIMES)}


def in_song(hands: Hands) -> bool:
    """Returns whether the song that is shown is the right one."""
    return bool(hands.data["songs"][hands.arg]["title"] == hands["song"])


def through_song(route: Route, **more: Route) -> dict[str, Route]:
    """Routes: to the page of the song, this on it, and more of its pages."""
    return {
        "songs": tapping("{song}", "song"),
        "playlists": tapping("Songs", "tab"),
        "song": lambda hands: route(hands) if in_song(hands) else None,
        **more,
    }


def to_choice(hands: Hands) -> Action | None:
    """In the menu of the right song, goes to the playlists."""
    return hands.tap("Add to playlist") if in_song(hands) else None


def into_list(hands: Hands) -> Action | None:
    """Adds the right song to the playlist."""
    return hands.tap(hands["name"], "playlist") if in_song(hands) else None


def name_it(hands: Hands) -> Action:
    """Types the name of the playlist, and creates it."""
    return hands.fill(name=hands["name"]) or hands.tap("Create")


def is_liked(phone: Phone, values: Values) -> bool:
    """Returns whether the song is liked, and nothing else was done."""
    return phone.changed_only("music", songs=swapped(phone.at_first("music")["songs"], values["index"], liked=True))


def was_added(phone: Phone, values: Values) -> bool:
    """Returns whether the song is the last of the playlist, and nothing else was done."""
    lists, at = phone.at_first("music")["playlists"], values["at"]
    return phone.changed_only(
        "music", playlists=swapped(lists, at, songs=with_item(lists[at]["songs"], values["index"]))
    )


def was_created(phone: Phone, values: Values) -> bool:
    """Returns whether the playlist is there, and nothing else was done."""
    made = {"name": values["name"], "songs": ()}
    return phone.changed_only("music", playlists=with_item(phone.at_first("music")["playlists"], made))


PLAY = Template(
    "play_song",
    ("Play {song}", "Start the song {song}", "Play the song {song} in Music"),
    one_of(lambda data, i: i != data["playing"]),
    through_song(tapping("Play")),
    check=lambda phone, values: phone.changed_only("music", playing=values["index"]),
    absent=none_of,
    unseen_goals=("Play the song {song}",),
)
LIKE = Template(
    "like_song",
    ("Like the song {song}", "Give the song {song} a like", "Like {song} in Music"),
    one_of(lambda data, i: not data["songs"][i]["liked"]),
    through_song(tapping("Like")),
    check=is_liked,
    absent=none_of,
    demonstrated=FEW,
    unseen_goals=("Give {song} a like in Music",),
)
ADD = Template(
    "add_to_playlist",
    ("Add the song {song} to the playlist {name}", "Put {song} on the playlist {name}"),
    song_and_list,
    through_song(tapping("More"), menu=to_choice, choose=into_list),
    check=was_added,
    absent=none_of,
    unseen_goals=("Add {song} to the playlist {name}", "Put the song {song} on the playlist {name}"),
)
CREATE = Template(
    "create_playlist",
    ("Create a playlist named {name}", "Make a new playlist called {name}"),
    draw_list,
    {"songs": tapping("Playlists", "tab"), "playlists": tapping("New playlist"), "new": name_it},
    check=was_created,
    unseen_goals=("Create a new playlist named {name}", "Make a playlist called {name}"),
)
DELETE_IT = Template(
    "delete_playlist",
    draw=one_list,
    route={
        "songs": tapping("Playlists", "tab"),
        "playlists": tapping("{name}", "playlist"),
        "playlist": lambda hands: hands.tap("Delete") if hands.arg == hands["at"] else None,
    },
    check=lambda phone, values: phone.changed_only(
        "music", playlists=without(phone.at_first("music")["playlists"], values["at"])
    ),
    absent=lambda rng, phone: {**draw_list(rng, phone), "at": None},
    demonstrated=0,
    **wordings("delete_playlist", DELETE, "the playlist {name}"),
)
ASKED = questions(
    "the song {song}",
    [
        Asked("song_artist", "artist", "artist", own=("Who sings {song}?",)),
        Asked("song_length", "length", "length", FEW, ("How long is the song {song}?",)),
    ],
    one_of(lambda data, i: True),
    through_song,
    none_of,
)
TIMER = Template(
    "set_sleep_timer",
    (
        "Set the sleep timer of Music to {time}",
        "Let the music stop after {time}",
        "Set a sleep timer of {time} for the music",
    ),
    draw_time,
    {
        "songs": tapping("More"),
        "playlists": tapping("More"),
        "options": tapping("Sleep timer"),
        "timer": tapping("{time}", "option"),
    },
    check=lambda phone, values: phone.changed_only("music", timer=values["time"]),
    demonstrated=FEW,
    unseen_goals=("Set the sleep timer of the music to {time}",),
)

PAGES = (songs, playlists, song, menu, choose, playlist, new, playing, options, timer)
APP = register_app(
    App(
        "music",
        "Music",
        make,
        {page.__name__: page for page in PAGES},
        templates=(PLAY, LIKE, ADD, CREATE, DELETE_IT, *ASKED, TIMER),
    )
)
