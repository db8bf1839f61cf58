"""Small groups written for this project, for measuring a service without a file at hand."""

from rewright.service.schema import Group

_PROBLEMS = (
    (
        "A bakery packs 12 rolls into a bag. How many bags do 300 rolls fill?",
        "Each bag takes 12 rolls, so 300 rolls fill 300 / 12 = 25 bags. The answer is \\boxed{25}.",
        "25",
        (
            "We divide the rolls among the bags: 300 / 12 = 25. So they fill \\boxed{25} bags.",
            "Ten bags hold 120 rolls and twenty hold 240. The 60 rolls left fill five more, which makes \\boxed{25}.",
            "Let b be the number of bags. Then 12 b = 300, hence b = 25. Answer: \\boxed{25}",
            "300 - 12 = 288, so the answer is \\boxed{288}.",
        ),
    ),
    (
        "What is the remainder of 7^4 divided by 10?",
        "7^2 = 49 leaves 9, and 9^2 = 81 leaves 1. The remainder is \\boxed{1}.",
        "1",
        (
            "Since 7^4 = 2401, its last digit is 1, and the remainder is \\boxed{1}.",
            "Last digits of powers of 7 go 7, 9, 3, 1. The fourth is 1, so we get \\boxed{1}.",
            "Modulo 10, 7^2 is 9, which is -1, and its square is 1. Therefore \\boxed{1}.",
            "Powers of 7 end in 7, so the remainder is \\boxed{7}.",
        ),
    ),
    (
        "A rectangle is 3 cm longer than wide and has an area of 40 square centimetres. How wide is it?",
        "w (w + 3) = 40 gives w^2 + 3w - 40 = 0, that is (w - 5)(w + 8) = 0. The width is \\boxed{5} cm.",
        "5",
        (
            "Call the width w. From w(w+3) = 40 we try w = 5: 5 times 8 is 40. The width is \\boxed{5}.",
            "The factors of 40 that differ by 3 are 5 and 8, so the shorter side measures \\boxed{5} cm.",
            "w = (-3 + sqrt(9 + 160)) / 2 = (-3 + 13) / 2 = 5, so \\boxed{5}.",
            "The sides are 5 and 8, so the width is \\boxed{8}.",
        ),
    ),
)

BENCH_GROUPS = tuple(
    Group(problem=problem, reference=reference, answer=answer, candidates=list(candidates))
    for problem, reference, answer, candidates in _PROBLEMS
)
