"""Words for kinds of places, and for what is done where: the table that `fitting` judges by."""

from collections.abc import Mapping

KIND_WORDS: Mapping[str, tuple[str, ...]] = {
    "kitchen": ("kitchen", "cooking", "galley", "pantry", "stove", "fridge"),
    "bathroom": ("bath", "washroom", "restroom", "toilet", "shower", "wc"),
    "bedroom": ("bed", "dormitory", "nursery"),
    "living room": ("living", "lounge", "parlour", "parlor", "sofa", "couch", "dining", "home", "apartment"),
    "office": ("office", "study", "classroom", "library", "meeting", "workplace", "school", "lab"),
    "corridor": ("corridor", "hallway", "hall", "lobby", "entrance", "foyer", "stair", "door"),
    "yard": ("yard", "garden", "park", "outdoor", "outside", "lawn", "field", "terrace", "patio", "playground",
             "street", "beach", "court", "forest", "meadow", "plaza"),
}  # fmt: skip
"""What in a caption or a folder's name tells a kind: words, or their beginnings."""

_FOOD = {"kitchen": 1.0, "living room": 0.8, "office": 0.3, "yard": 0.4}
_COOK = {"kitchen": 1.0}
_WASH = {"bathroom": 1.0}
_REST = {"bedroom": 1.0, "living room": 0.7}
_SEAT = {"living room": 1.0, "office": 0.9, "kitchen": 0.7, "bedroom": 0.6, "yard": 0.4}
_DESK = {"office": 1.0, "living room": 0.7, "bedroom": 0.5}
_TALK = {"living room": 1.0, "office": 1.0, "corridor": 0.8, "bedroom": 0.6, "kitchen": 0.6, "yard": 0.6}
_DOOR = {"corridor": 1.0, "living room": 0.5, "office": 0.5}
_SPORT = {"yard": 1.0, "corridor": 0.2, "living room": 0.2}
_DRESS = {"bedroom": 1.0, "corridor": 0.8, "bathroom": 0.4}
_MEET = {"living room": 1.0, "office": 1.0, "corridor": 0.9, "yard": 0.9}
_CLEAN = {"kitchen": 1.0, "living room": 0.9, "corridor": 0.9, "bathroom": 0.6, "bedroom": 0.5, "yard": 0.3}
_ILL = {"bedroom": 1.0, "living room": 0.9, "bathroom": 0.7, "office": 0.5, "kitchen": 0.4}

ACTION_WORDS: Mapping[str, Mapping[str, float]] = {
    **dict.fromkeys(("drink", "eat", "meal", "snack", "coffee", "tea", "sip", "pour"), _FOOD),
    **dict.fromkeys(("kettle", "cook", "fry", "boil", "bake", "chop", "cut", "bread", "knead", "dish", "dishes",
                     "stove", "peel", "stir", "grill", "egg", "salad", "makecoffee", "maketea", "fridge"), _COOK),
    **dict.fromkeys(("teeth", "tooth", "shav", "shower", "bath", "makeup", "lipstick", "face", "toilet", "mouthwash"),
                    _WASH),
    **dict.fromkeys(("sleep", "nap", "bed", "laydown", "lie", "lying", "pillow", "massage"), _REST),
    **dict.fromkeys(("sit", "stand up", "getup"), _SEAT),
    **dict.fromkeys(("read", "write", "writing", "typ", "keyboard", "laptop", "tablet", "computer", "paper", "study",
                     "presentation", "whiteboard", "staple", "book"), _DESK),
    **dict.fromkeys(("phone", "call", "telephone", "talk", "whisper", "selfie"), _TALK),
    **dict.fromkeys(("television", "watchtv", "tv", "sofa", "couch", "knit", "play cards", "chess"),
                    {"living room": 1.0, "bedroom": 0.5}),
    **dict.fromkeys(("enter", "leave", "door", "knock"), _DOOR),
    **dict.fromkeys(("kick", "throw", "run", "jog", "jump", "hop", "ball", "bat", "racket", "catch", "cartwheel",
                     "handstand", "somersault", "swing", "golf", "dribble", "fenc", "archery", "climb", "cycle", "skip",
                     "squat", "punch", "kung", "juggle"), _SPORT),
    **dict.fromkeys(("wear", "dress", "jacket", "shoe", "hat", "cap", "glasses", "coat", "undress"), _DRESS),
    **dict.fromkeys(("hug", "handshak", "shake hand", "greet", "salute", "bow", "point", "handing"), _MEET),
    **dict.fromkeys(("comb", "brush hair", "hair", "brushhair"), {"bathroom": 1.0, "bedroom": 0.9}),
    **dict.fromkeys(("sweep", "mop", "vacuum", "dust", "tidy", "cleanup", "wip"), _CLEAN),
    **dict.fromkeys(("cough", "sneez", "vomit", "headache", "pill", "pills", "medicine", "faint", "nausea", "backache",
                     "neckache", "chest", "touch head"), _ILL),
    **dict.fromkeys(("mow", "water plant", "rake", "dig", "garden"), {"yard": 1.0}),
}  # fmt: skip
"""How well what a word says goes with each kind, 0..1; kinds left out do not fit. Words may be beginnings, and longer
ones of five letters or more may stand anywhere in a name without blanks, such as Makecoffee."""
