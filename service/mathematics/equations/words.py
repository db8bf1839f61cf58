"""Words around the numbers of a calculation, by what they do to them."""


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPERATING = words(
    """
    twice double doubled triple half third thirds quarter quarters fourth fourths fifth fifths sixth eighth
    tenth tenths squared cubed times plus minus divided multiplied product difference quotient root factorial
    log ln sin cos tan sqrt floor ceil choose ratio square cube
    """
)
"""They compute with the number beside them."""
JOINING = words("and of by than from to over with or less more fewer between per at")
"""They do so when another number stands on their other side."""
LABELLING = words(
    """
    step day week month year part case line row column number equation eq problem question page chapter level
    round grade phase stage room group rule option method exercise example table figure section
    """
)
"""The number behind them is a name: in `on day 1 * 2` there is no 1."""
NO_UNITS = words(
    """
    so then thus hence therefore and or is are was were be been equals equal gives give makes make he she it
    they we you i that which who this there these those the if when where but because since as with to from in
    on at by than have has had let means get gets we'll need needs must will would can could should not of over
    under into plus minus times squared cubed remainder and more less fewer twice half double triple about
    """
)
"""They end what a number counts: `3 apples and …`."""
GLUED_UNITS = words("kg mg cm mm km ml lb lbs oz ft hr hrs min mins sec mph cents ct")
"""Units that may follow a number without a space. Other letters there are variables."""
CAPITAL_UNITS = words("KB MB GB TB TV CD KM CM MM KG ML LB OZ FT HR PC GP XP HP MP EP LP")
"""Units of two capitals. Others are segments between two points."""
UNITS_OF_A_KIND = (
    words("second sec minute min hour hr day week month year decade century weekday"),
    words("inch in foot ft yard mile mm cm meter metre m km kilometer kilometre millimeter centimeter"),
    words("gram g kg kilogram mg ounce oz pound lb ton tonne"),
    words("dollar cent penny nickel dime quarter buck"),
    words("ml milliliter liter litre l cup pint quart gallon tablespoon teaspoon"),
    words("dozen pair piece pack box"),
)
"""Within a kind a statement may convert, so its bare numbers prove nothing."""
SAYS_NOTHING = words(
    """
    the a an is are it its so therefore thus hence final answer answers result solution equals equal to be i we
    my our get think that this by of boxed fbox text left right box step steps trivial obvious clearly qed done
    correct ok okay yes no sure none true verified valid sound
    """
)
"""Words of a solution that only announces its answer."""
