"""The words of captions and of queries: what is written in a caption finds it, in any script."""

# ruff: noqa: RUF001 for letters of many scripts

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.search.calibration import DEFAULT_THRESHOLD
from mmpt.search.records import Caption
from mmpt.search.said import find_said, said_score
from mmpt.search.store import Store
from mmpt.search.words import coverage, fold, index_terms, query_words, stemmers
from mmpt.text.subtitles import read_subtitles
from tests.conftest import ROOT
from tests.search.entries import about_store, random_entry

CASE = ROOT / "tests" / "cases" / "said-other-scripts"

# Each family's first word finds the others, and is found by them.
FAMILIES = """
cover covers covering covered; simmer simmering simmered; water watering; apply applies applied applying; dry dried
fry fries fried frying; use uses used using; shred shreds shredding shredded; butter buttering buttered; lower lowering
filter filtering; family families; go goes going gone; ice icing; tie tying tied; supply supplies; feed feeding fed
speed speeding; slice sliced slicing; chop chopped; whisk whisking; knead kneaded; glue glued gluing; knife knives
leaf leaves; half halves; potato potatoes; box boxes; dish dishes; season seasoned; freeze frozen freezing; lay laid
carry carries carried; stir stirring stirred; measure measuring; tighten tightening; polish polishing; chef chef's
""".replace("\n", ";")

SENTENCES = {
    "es": "calienta el aceite en la sartén y añade la cebolla, está muy rápido: jamón, azúcar, niño",
    "fr": "on verse la crème brûlée dans la poêle; l'œuf, la sœur, la forêt, c'était préparé, l’huile, aujourd'hui",
    "de": "über die Straße gehen, Fußgänger in Öl, Käse schälen, Möhren, größer, schön, Brötchen, Maß",
    "pt": "coração, pão de queijo, açúcar, maçã, avó, feijão, não",
    "it": "caffè, perché, città, più, l'olio, così",
    "da": "rødgrød med fløde på øen, smør, ægget, å, brød",
    "pl": "łódka płynie, ciasto, mąka, żółty sernik, śmietana, cebulę kroję, gęś",
    "cs": "žluté jablko, řezat, příprava, kůň, čaj, děti, máslo",
    "nl": "ijs, ĳs, coördinatie, één, crème fraîche, zo'n",
    "tr": "İstanbul güzel, ışık, IŞIK, şeker, çay, yoğurt, ağaç, pişir",
    "hu": "főzés, tűz, víz, szőlő, körte, hagyma, gyűrű",
    "vi": "đổ nước vào nồi, trứng, hành, bánh mì, cà phê",
    "ro": "înmulțire, pâine, brânză, țară, șosea",
    "ca": "col·legi, l'aigua, què",
    "ru": "поставь чайник на плиту, ещё соли, йогурт, мой, большой, ёлка, за́мок",
    "uk": "їжа, яйце, ковбаса, ґанок, чай, п'ять, м’ясо, об\N{MODIFIER LETTER APOSTROPHE}єкт",
    "el": "ρίχνουμε νερό στην κατσαρόλα, κόβουμε το κρεμμύδι, ΑΛΆΤΙ, τηγάνι, λαός",
    "ar": "أضف الملح إلى الماء، القهوة، إبريق، مؤخرا، سؤال، خُبْزٌ، كتـــاب، ٣٥٠",
    "fa": "آب را بریز، پیاز، می\N{ZERO WIDTH NON-JOINER}خواهم، قابلمه، ۱۲۳",
    "he": 'לשפוך מים, סיר, בצל, צ׳יפס, שָׁלוֹם, צה"ל',
    "hi": "औरत पानी डालती है, प्याज काटो, ज़रा, चीनी, क़लम",
    "bn": "জল ঢালো, পেঁয়াজ কাটো, লবণ, ডিম",
    "ta": "தண்ணீர் ஊற்று, வெங்காயம், உப்பு",
    "ml": "അവൻ, അവന്\N{ZERO WIDTH JOINER}, ഉള്ളി",
    "si": "ශ්\N{ZERO WIDTH JOINER}රී ලංකා",
    "ka": "წყალი, ხახვი, მარილი",
    "hy": "ջուր, սոխ, աղ, եւ, և",
    "am": "ውሃ, ሽንኩርት, ጨው",
    "ko": "여자가 팬케이크를 뒤집는다, 고양이, 물을 붓다, 계란",
    "ja": "ガラスを 割る, 犬, ﾊﾟﾝ, ラーメン, みず",
    "zh": "倒水, 洋葱, 切, 盐, ３Ｄ打印机",
    "th": "สุนัขวิ่งเร็ว เทน้ำ หัวหอม ไข่",
    "km": "ទឹក, អំបិល, ចាក់ទឹក",
    "lo": "ນ້ຳ, ເກືອ",
    "my": "ရေ, ဆား, ကြက်ဥ",
    "en": "don't stop, O'Brien's e-mail at 5:30, 1/2 cup, 1½ cups, 350°F, 1,000 m², rock 'n' roll, C++, 3-D, U.S.A.",
}


def covered(query: str, caption: str, language: str = "") -> float:
    return coverage(query_words(query, {"", language}), index_terms(caption, language))


def forms(text: str) -> set[str]:
    return {unicodedata.normalize(form, text) for form in ("NFC", "NFD")}


@pytest.mark.parametrize("tagged", [True, False])
@pytest.mark.parametrize("language", SENTENCES)
def test_every_word_of_a_caption_is_found_as_it_is_written(language: str, tagged: bool) -> None:
    for caption in forms(SENTENCES[language]):
        for word in SENTENCES[language].split():
            for query in forms(word) | {word.upper(), word.strip(",،:;")}:
                assert query_words(query) and covered(query, caption, language * tagged) == 1, (query, caption)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1, max_size=6), min_size=1))
def test_whatever_stands_between_spaces_is_found(words: list[str]) -> None:
    for caption in forms(" ".join(words)):
        for word in words:
            assert not query_words(word) or covered(word, caption) == 1


@pytest.mark.parametrize(
    ("query", "caption"),
    [
        ("creme brulee", "la crème brûlée"),
        ("strasse", "Straße"),
        ("STRASSE", "Straße"),
        ("kuche", "die Küche"),
        ("kueche", "die Küche"),
        ("Küche", "die Kueche"),
        ("lodka", "łódka"),
        ("rodgrod", "rødgrød"),
        ("smoer", "smør"),
        ("do nuoc", "đổ nước"),
        ("istanbul isik", "İstanbul ışık"),
        ("oeuf", "l'œuf"),
        ("ijs", "ĳs"),
        ("еще", "ещё"),
        ("νερο", "νερό"),
        ("الماء اضف", "أضف الماءَ"),
        ("שלום", "שָׁלוֹם"),
        ("ज़रा", "जरा"),
        ("dont stop", "don’t stop"),
        ("don't stop", "dont stop"),
        ("obrien", "O'Brien"),
        ("email", "e-mail"),
        ("e-mail", "email"),
        ("icecream", "ice-cream"),
        ("ice-cream", "ice cream"),
        ("USA", "the U.S.A. team"),
        ("U.S.A.", "usa"),
        ("eau", "de l'eau"),
        ("l'eau", "eau froide"),
        ("пять", "п'ять"),
        ("1000", "1,000 times"),
        ("½ cup", "1/2 cup"),
        ("350", "350º"),
        ("350 F", "350°F"),
        ("123", "۱۲۳"),
        ("pyrex", "Pyrex™"),
        ("fish", "\N{LATIN SMALL LIGATURE FI}sh"),
        ("softhyphen", "soft\N{SOFT HYPHEN}hyphen"),
        ("ＡＢＣ", "abc"),
        ("パン", "ﾊﾟﾝ"),
        ("3d", "3Dプリンター"),
        ("プリンター", "3Dプリンター"),
        ("팬케이크", "여자가 팬케이크를 뒤집는다"),
        ("물", "물을 붓다"),
        ("洋葱", "把洋葱切碎"),
        ("水", "倒水"),
        ("สุนัข", "สุนัขวิ่งเร็ว"),
        ("ទឹក", "ចាក់ទឹក"),
    ],
)
def test_what_is_usually_typed_for_it_finds_it(query: str, caption: str) -> None:
    assert covered(query, caption) == 1


@pytest.mark.parametrize(
    ("query", "caption"),
    [
        ("мои", "мой"),  # й is a letter
        ("2-3", "23"),
        ("1,000", "2,000"),
        ("пекло", "печь"),
        ("洋葱", "大蒜"),
        ("고양이", "팬케이크"),
    ],
)
def test_other_words_are_not_found(query: str, caption: str) -> None:
    assert coverage(query_words(query), index_terms(caption)) == 0


@pytest.mark.parametrize("family", [family.split() for family in FAMILIES.split(";") if family.strip()])
def test_english_words_in_other_forms(family: list[str]) -> None:
    for form in family:
        assert covered(f"{family[0]} the pan", f"now {form} a pan") == 1
        assert covered(f"{form} the pan", f"now {family[0]} a pan") == 1


def test_a_word_is_stemmed_in_the_language_of_its_caption() -> None:
    assert covered("Häuser", "ein Haus", "de") == 1 > covered("Häuser", "ein Haus", "")
    assert covered("haeuser", "das Haus", "de-AT") == covered("hauser", "das Haus", "ger") == 1
    assert covered("чайника", "чайник", "ru") == 1 > covered("чайника", "чайник", "uk")
    assert covered("cover", "covering", "uk") == 0  # an unknown language has no stems, not English ones
    assert covered("covering", "covering", "uk") == 1


def test_a_query_meets_captions_of_several_languages() -> None:
    words = query_words("Häuser cover", ["", "de", "uk"])
    assert coverage(words, index_terms("Haus", "de") + index_terms("covering")) == 1


def test_the_languages_of_tags() -> None:
    assert stemmers(("",)) == stemmers(("en",)) == stemmers(("en-US",)) == stemmers(("eng",)) == ("english",)
    assert stemmers(("fr_CA", "FR", "fra")) == ("french",)
    assert stemmers(("uk",)) == stemmers(("zh-Hans",)) == stemmers(("nonsense",)) == ()
    assert stemmers(("nb", "de", "")) == ("english", "german", "norwegian")


@pytest.mark.parametrize("query", ["on", "in", "the", "to be or not to be", "it's", "don't", "I'm"])
def test_stop_words_alone_are_looked_for(query: str) -> None:
    assert covered(query, f"x {query} y") == 1
    assert len(query_words(query + " pan")) == 1


def test_a_word_with_an_accent_is_not_the_stop_word_without_it() -> None:
    assert query_words("thé à la menthe")[:2] == [("the",), ("a",)]


def test_a_word_without_end_takes_no_time() -> None:
    for text in ("a" * 10_000, "ab-" * 5_000, "1,000" * 2_000, "a.b." * 2_000, "あ" * 9_000, "e\u0301" * 9_000):
        assert covered(text, text) == 1
    assert max(map(len, index_terms("a" * 10_000))) <= 100


def test_folding_leaves_letters_that_marks_make() -> None:
    assert fold("йўї") == "йўї" and fold("ガ") == "ガ" and fold("पानी") == "पानी" and fold("한") == "한"


CAPTIONS = [
    text for path in sorted((CASE / "captions").iterdir()) for text in read_subtitles(path).captions.text if text
]
QUERIES = [line.partition("\t")[::2] for line in (CASE / "queries.txt").read_text("utf-8").splitlines() if line]


def test_words_of_other_scripts_are_those_of_their_captions() -> None:
    """The queries of the case said-other-scripts."""
    assert len(QUERIES) == 63
    for query, wanted in QUERIES:
        best = max(CAPTIONS, key=lambda caption: covered(query, caption))
        assert covered(query, best) == 1 and wanted in best, query


def test_words_of_other_scripts_find_their_captions(tmp_path) -> None:
    store = Store.create(tmp_path / "library", about_store())
    lines = [Caption(10.0 * number, 10.0 * number + 1, text) for number, text in enumerate(CAPTIONS)]
    store.put_many([replace(random_entry(1, captions=len(lines)), captions=lines)])
    for query, wanted in QUERIES[::7]:
        best = find_said(store, query, None)[0]
        assert said_score(best.coverage) >= DEFAULT_THRESHOLD and wanted in best.best.text, query
