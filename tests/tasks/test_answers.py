"""A reply is read as the option it settles on, or left unparsed with the reason; never guessed."""

from __future__ import annotations

import string
import unicodedata

import pytest

from mindgap.tasks import answers
from mindgap.tasks.answers import read_choice

CAPITALS = ("London", "Paris", "New York", "New York City")
FARM = ("A sewing machine", "A washing machine", "A vending machine", "A coffee machine")

READ = [
    # the tag, as asked for
    ("<answer>B</answer>", 1),
    ("<answer> B </answer>", 1),
    ("<answer>\nB\n</answer>", 1),
    ("<ANSWER>b</ANSWER>", 1),
    ("< answer >B< / answer >", 1),
    ("<answer> B. </answer>", 1),
    ("<answer>(B)</answer>", 1),
    ("<answer>**B**</answer>", 1),
    ("**<answer>B</answer>**", 1),
    ("`<answer>B</answer>`", 1),
    ("<answer><b>B</b></answer>", 1),
    ("<answer>Option B</answer>", 1),
    ("<answer>The answer is B.</answer>", 1),
    ("<answer> (b). Paris </answer>", 1),
    ("<answer>B) Paris</answer>", 1),
    ("<answer>B: Paris, the capital of France</answer>", 1),
    ("<answer>B Paris</answer>", 1),
    ("<answer>Paris</answer>", 1),
    ("<answer>“paris.”</answer>", 1),
    ("<answer>New York</answer>", 2),
    ("<answer>D. New York City</answer>", 3),
    ("<answer>\uff22</answer>", 1),
    # tags that are not closed, or closed by another opening tag
    ("It is a large city. <answer>C", 2),
    ("<answer>C</answ", 2),
    ("<answer>C\n\nExplanation: it never sleeps.", 2),
    ("<answer>B<answer>", 1),
    # more than one tag
    ("<answer>B</answer> So: <answer>B</answer>", 1),
    ("I shall use <answer>letter</answer>. <answer>B</answer>", 1),
    ("Format: <answer>A/B/C/D</answer>\n<answer>B</answer>", 1),
    ("<answer></answer> <answer>B</answer>", 1),
    # around reasoning
    ("<thinking>A? <answer>A</answer>? No.</thinking>\n<answer>B</answer>", 1),
    ("could be A </think> <answer>B</answer>", 1),
    ("<thinking>It is Paris. <answer>B</answer>", 1),
    ("Answer: A, at first sight. <answer>B</answer>", 1),
    # statements
    ("I think the answer is B", 1),
    ("The answer is B.", 1),
    ("The correct answer is (B).", 1),
    ("So the best option is **B**.", 1),
    ("Answer: B", 1),
    ("**Answer:** B", 1),
    ("**Final answer: B. Paris**", 1),
    ("Answer:\nB", 1),
    ("Answer: (b) Paris", 1),
    ("The answer is B because Paris lies on the Seine.", 1),
    ("The answer is B. Paris has been the capital for centuries.", 1),
    ("The answer is Paris.", 1),
    ("The answer is B.\n\nTherefore the correct answer is B.", 1),
    ("The answer is a matter of taste.\nAnswer: B", 1),
    # LaTeX
    (r"\boxed{B}", 1),
    (r"$\boxed{B}$", 1),
    (r"So $\boxed{\text{B}}$.", 1),
    (r"\boxed{\textbf{(B) Paris}}", 1),
    (r"\boxed{\mathrm{B}}", 1),
    (r"The answer is $\boxed{C}$.", 2),
    (r"\fbox{Paris}", 1),
    (r"\boxed{B} and again \boxed{\text{B}}", 1),
    (r"First A, then \boxed{B", 1),
    ("The answer is $B$.", 1),
    ("The answer is **$B$**", 1),
    # a label below its statement
    ("The correct answer is:\n\nB: Paris\n\nIt has been the capital for centuries.", 1),
    ("The correct answer is:\n\nB: Paris", 1),
    ("The correct answer is:\n\n**B: Paris**\n\nBecause it is.", 1),
    ("The correct answer is:\nB\n\nParis lies on the Seine.", 1),
    ("**Answer:**\n\nB. Paris\n\n**Explanation:** it lies on the Seine.", 1),
    ("Final answer:\n\n(B) Paris\n\nI hope this helps!", 1),
    ("The correct answer is:\n\nParis\n\nIt lies on the Seine.", 1),
    ("Answer:\n\nD. New York City\n\nIt never sleeps.", 3),
    # a first line that is a label with its text
    ("B. Paris\n\nParis has been the capital for centuries.", 1),
    ("B: Paris\n\nIt lies on the Seine.", 1),
    ("**B. Paris**\n\n**Explanation:** it lies on the Seine.", 1),
    ("B) Paris\nIt lies on the Seine, unlike London.", 1),
    ("(B) Paris.\n\nA city of light.", 1),
    ("## B. Paris\n\nA city of light.", 1),
    ("D. New York City\n\nIt never sleeps.", 3),
    ("C. New York\n\nIt never sleeps.", 2),
    ("B. Paris\n\nA is incorrect, and C and D are wrong.", 1),
    # unseen characters
    ("\u200bB\u200b", 1),
    ("The answer is \u200bB.", 1),
    ("\ufeffB. Paris", 1),
    ("<answer>\u2060B\u200d</answer>", 1),
    ("The ans\u00adwer is B.", 1),
    # sentences
    ("B is correct.", 1),
    ("B is correct", 1),
    ("Option B is correct.", 1),
    ("(B) is the correct answer.", 1),
    ("**B** is the right choice.", 1),
    ("So, B is the best option.", 1),
    ("B (Paris) is correct.", 1),
    ("B: Paris is the correct answer.", 1),
    ("The answer is B (Paris).", 1),
    ("I think B is correct because it lies on the Seine.", 1),
    ("Paris is on the Seine. Therefore, option B is correct.", 1),
    ("Only B is correct.", 1),
    ("I choose B.", 1),
    ("I would go with B. Paris.", 1),
    ("So I pick (B).", 1),
    ("The answer to this question is B.", 1),
    # with others ruled out
    ("The correct answer is B: Paris, since the others (A, C, D) are wrong.", 1),
    ("The answer is B. The others (A, C, D) are wrong.", 1),
    ("The answer is B. A, C and D are incorrect.", 1),
    ("The answer is B, while A (London) and C (New York) are not correct.", 1),
    ("B is correct. The other options (A, C and D) are wrong.", 1),
    ("Option A is wrong. Option B is correct.", 1),
    # nothing but a label
    ("B", 1),
    ("B.", 1),
    ("(b)", 1),
    ("**B. Paris**", 1),
    ("Paris", 1),
    ("  Paris.\n", 1),
]

UNREAD = [
    ("", answers.EMPTY_REPLY),
    (" \n\t ", answers.EMPTY_REPLY),
    # nothing that says which
    ("Paris is lovely in spring, unlike London.", answers.NO_ANSWER),
    ("According to most atlases, B", answers.NO_ANSWER),
    ("A good choice here is C", answers.NO_ANSWER),
    ("That's a tough one: B", answers.NO_ANSWER),
    ("I believe it is neither.", answers.NO_ANSWER),
    ("Both", answers.NO_ANSWER),
    ("A or B", answers.SEVERAL),
    ("The answer is not B", answers.NO_ANSWER),
    ("That is not the answer: B", answers.NO_ANSWER),
    ("Is the answer B?", answers.NO_ANSWER),
    ("The answer is B?", answers.NO_ANSWER),
    ("If the answer is B, we are lost.", answers.NO_ANSWER),
    ("An incorrect answer is B.", answers.NO_ANSWER),
    ("The answer is a", answers.NO_ANSWER),
    ("a", answers.NO_ANSWER),
    ("a city in France", answers.NO_ANSWER),
    ("The answer is a city in France.", answers.NO_ANSWER),
    ("Answer: I do not know", answers.NO_ANSWER),
    ("The answer is E.", answers.NO_ANSWER),
    ("Option B looks right, option C too.", answers.NO_ANSWER),
    ("A. London\nB. Paris\nC. New York\nD. New York City", answers.NO_ANSWER),
    ("The answer is:\nA. London\nB. Paris\nC. New York\nD. New York City", answers.NO_ANSWER),
    ("B B B B B B B B B", answers.SEVERAL),
    # LaTeX
    (r"\boxed{}", answers.EMPTY_TAG),
    (r"\boxed{42}", answers.NOT_AN_OPTION),
    (r"\boxed{E}", answers.NOT_AN_OPTION),
    (r"\boxed{Berlin}", answers.NOT_AN_OPTION),
    (r"\boxed{B} or \boxed{C}", answers.SEVERAL),
    (r"\boxed{B, C}", answers.SEVERAL),
    (r"\boxed{\text{A or B}}", answers.SEVERAL),
    (r"\boxed{C. Paris}", answers.DISAGREE),
    (r"\boxed{B}. No: \boxed{E}", answers.SEVERAL),
    # a list is no answer, wherever it is cut off
    ("The correct answer is:\n\nA. London\nB. Par", answers.NO_ANSWER),
    ("The correct answer is:\n\nA. London\n\nB. Paris\n\nC. New York", answers.NO_ANSWER),
    ("The correct answer is:\n\nA\nB\nC\nD", answers.NO_ANSWER),
    ("The correct answer is:\n\nParis\n\nLondon", answers.NO_ANSWER),
    ("Answer:\n\nC: Paris\n\nIt lies on the Seine.", answers.DISAGREE),
    ("Answer:\n\nLet me think.\n\nB is nice.", answers.NO_ANSWER),
    ("A. London\nB. Par", answers.NO_ANSWER),
    ("A. London\n\nB. Paris", answers.NO_ANSWER),
    ("A. London\nParis", answers.NO_ANSWER),
    ("B. Paris\n\n**C** is better.", answers.NO_ANSWER),
    ("B. Paris\n\nActually, London.", answers.NO_ANSWER),
    ("B. Paris\n\nThat is wrong, of course.", answers.NO_ANSWER),
    ("B. Paris\n\nWait, no.", answers.NO_ANSWER),
    ("B. Parisian\n\nA style.", answers.NO_ANSWER),
    ("B. Berlin\n\nA city.", answers.NO_ANSWER),
    ("C. Paris\n\nA city.", answers.NO_ANSWER),
    ("B\n\nsomething else", answers.NO_ANSWER),
    ("b. Paris\n\nA city.", answers.NO_ANSWER),
    ("Paris\n\nA city.", answers.NO_ANSWER),
    ("My options are these.\nB. Paris", answers.NO_ANSWER),
    # sentences that settle nothing
    ("B is not correct.", answers.NO_ANSWER),
    ("B is incorrect.", answers.NO_ANSWER),
    ("Is B correct?", answers.NO_ANSWER),
    ("B is correct?", answers.NO_ANSWER),
    ("If B is correct, so is C.", answers.NO_ANSWER),
    ("I don't think B is correct.", answers.NO_ANSWER),
    ("Some say B is correct.", answers.NO_ANSWER),
    ("B is correct only in summer.", answers.NO_ANSWER),
    ("B is correct, but C is better.", answers.NO_ANSWER),
    ("B is almost correct.", answers.NO_ANSWER),
    ("Neither A nor B is correct.", answers.NO_ANSWER),
    ("E is correct.", answers.NO_ANSWER),
    ("A is correct. B is correct.", answers.SEVERAL),
    ("The answer is C (Paris).", answers.DISAGREE),
    ("C (Paris) is correct.", answers.DISAGREE),
    ("I choose B or C.", answers.SEVERAL),
    ("I choose not to answer.", answers.NO_ANSWER),
    ("I would pick a city.", answers.NO_ANSWER),
    ("A choice such as B is a good one.", answers.NO_ANSWER),
    # ruled out
    ("A, C and D are wrong.", answers.NO_ANSWER),
    ("The answer is B. B is wrong.", answers.SEVERAL),
    ("The answer is B or C, since A and D are wrong.", answers.SEVERAL),
    ("A is wrong. B is wrong. C is wrong.", answers.NO_ANSWER),
    ("\u200b", answers.EMPTY_REPLY),
    # several
    ("The answer is A or B.", answers.SEVERAL),
    ("The answer is B. Or perhaps C.", answers.SEVERAL),
    ("The answer is B.\nThe answer is C.", answers.SEVERAL),
    ("<answer>A or B</answer>", answers.SEVERAL),
    ("<answer>A, B</answer>", answers.SEVERAL),
    ("<answer>A/B</answer>", answers.SEVERAL),
    ("<answer>B. Paris or London</answer>", answers.SEVERAL),
    ("<answer>B. Paris, C</answer>", answers.SEVERAL),
    ("<answer>A/B/C/D</answer>", answers.SEVERAL),
    ("<answer>B</answer><answer>C</answer>", answers.SEVERAL),
    ("<answer>Both</answer><answer>B</answer>", answers.SEVERAL),
    ("<answer>\nA. London\nB. Paris", answers.SEVERAL),
    # in a tag, but no option
    ("<answer>letter</answer>", answers.NOT_AN_OPTION),
    ("<answer>...</answer>", answers.NOT_AN_OPTION),
    ("<answer>E</answer>", answers.NOT_AN_OPTION),
    ("<answer>I</answer>", answers.NOT_AN_OPTION),
    ("<answer>N/A</answer>", answers.NOT_AN_OPTION),
    ("<answer>None of these</answer>", answers.NOT_AN_OPTION),
    ("<answer>Both</answer>", answers.NOT_AN_OPTION),
    ("<answer>Berlin</answer>", answers.NOT_AN_OPTION),
    ("<answer>Because it is large</answer>", answers.NOT_AN_OPTION),
    ("<answer>B. Berlin</answer>", answers.NOT_AN_OPTION),
    ("<answer>2</answer>", answers.NOT_AN_OPTION),
    ("<answer>\u0412</answer>", answers.NOT_AN_OPTION),  # Cyrillic
    ("<answer></answer>", answers.EMPTY_TAG),
    ("<answer> </answer>", answers.EMPTY_TAG),
    ("<answer>**</answer>", answers.EMPTY_TAG),
    # letter against text
    ("<answer>C. Paris</answer>", answers.DISAGREE),
    ("<answer>C. New York City</answer>", answers.DISAGREE),
    ("The answer is C: Paris.", answers.DISAGREE),
    ("B) London", answers.DISAGREE),
    # broken off
    ("It must be Paris. <answer>", answers.CUT_OFF),
    ("It must be Paris. <ans", answers.CUT_OFF),
    ("<thinking>Paris is in France, so the answer is B", answers.ONLY_REASONING),
    ("<thinking>The answer is B.</thinking>", answers.ONLY_REASONING),
    ("<thinking>It is <answer>B</answer></thinking>\n", answers.ONLY_REASONING),
]


def test_the_table_is_long_and_half_of_it_is_to_be_refused():
    replies = [reply for reply, _ in (*READ, *UNREAD)]
    assert len(set(replies)) == len(replies) >= 200
    assert abs(len(READ) - len(UNREAD)) <= len(replies) / 10


@pytest.mark.parametrize(("reply", "choice"), READ)
def test_reply_is_read_as_the_option_it_names(reply, choice):
    answer = read_choice(reply, CAPITALS)
    assert (answer.choice, answer.unparsed) == (choice, None)


LIKE_ASCII = [
    letter
    for letter in map(chr, range(128, 0x20000))
    if any(part.isascii() and part.isalpha() for part in letter.upper() + letter.lower() + letter.casefold())
]
"""Letters outside ASCII that are, or contain, an ASCII letter in another case: the Turkish i's, the Kelvin sign, …"""


@pytest.mark.parametrize("frame", ["{}", "The answer is {}", "Answer: {}. Paris", "<answer>{}</answer>", "<ans{}"])
def test_a_letter_that_only_looks_like_a_label_is_none_and_stops_nothing(frame: str) -> None:
    options = [f"choice number {number}" for number in range(26)]
    assert {"\u0130", "\u0131", "\u017f", "\u212a"} <= set(LIKE_ASCII)
    for letter in LIKE_ASCII:
        answer = read_choice(frame.format(letter), options)
        plain = unicodedata.normalize("NFKC", letter)
        if answer.choice is not None:
            assert plain.upper() == string.ascii_uppercase[answer.choice], letter


@pytest.mark.parametrize(
    ("reply", "choice", "reason"),
    [
        ("B", 1, None),
        ("The answer is B. It is not A.", None, answers.SEVERAL),
        ("The answer is thing 30.", 30, None),
        ("The answer is thing 30. Or rather C.", None, answers.SEVERAL),
        ("<answer>B. thing 1, C</answer>", None, answers.SEVERAL),
    ],
)
def test_options_beyond_the_last_letter_are_read_by_their_text(
    reply: str, choice: int | None, reason: str | None
) -> None:
    answer = read_choice(reply, [f"thing {number}" for number in range(40)])
    assert (answer.choice, answer.unparsed) == (choice, reason)


def test_a_second_option_is_seen_behind_a_text_that_is_longer_in_other_case() -> None:
    options = ("STRASSE", "Weg")
    assert read_choice("<answer>A. Stra\u00dfe</answer>", options).choice == 0
    assert read_choice("<answer>A. Stra\u00dfe/B</answer>", options).unparsed == answers.SEVERAL


@pytest.mark.parametrize(("reply", "reason"), UNREAD)
def test_reply_that_names_no_option_is_unparsed_with_its_reason(reply, reason):
    answer = read_choice(reply, CAPITALS)
    assert (answer.choice, answer.unparsed) == (None, reason)


@pytest.mark.parametrize(
    ("reply", "choice"),
    [
        ("A. A sewing machine", 0),
        ("<answer>A sewing machine</answer>", 0),
        ("<answer>A washing machine</answer>", 1),
        ("<answer>B. A washing machine cleans clothes</answer>", 1),
        ("<answer>B. A sewing machine</answer>", None),
        ("<answer>A</answer>", 0),
        ("A machine for clothes", None),
    ],
)
def test_options_that_begin_with_an_article_are_not_taken_for_the_letter_a(reply, choice):
    assert read_choice(reply, FARM).choice == choice


def test_numbers_are_read_as_texts_never_as_positions():
    assert read_choice("<answer>2</answer>", ("4", "3", "2", "1")).choice == 2
    assert read_choice("<answer>5</answer>", ("50", "5", "5.5", "0.5")).choice == 1
    assert read_choice("<answer>A. 5.5</answer>", ("50", "5", "5.5", "0.5")).unparsed == answers.DISAGREE


def test_where_options_are_letters_the_letter_is_the_label():
    assert read_choice("<answer>A</answer>", ("B", "C", "A", "D")).choice == 0


def test_text_shared_by_two_options_names_neither_of_them():
    assert read_choice("<answer>687</answer>", ("687", "687", "1,493", "1,695")).unparsed == answers.SEVERAL
    assert read_choice("<answer>B. 687</answer>", ("687", "687", "1,493", "1,695")).choice == 1


def test_text_of_an_option_may_itself_name_letters():
    options = ("A only", "B only", "Both A and B", "Neither A nor B")
    assert read_choice("<answer>C. Both A and B</answer>", options).choice == 2
    assert read_choice("The answer is D. Neither A nor B.", options).choice == 3
