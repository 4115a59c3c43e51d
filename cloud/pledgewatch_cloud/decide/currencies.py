"""Currencies: how many decimals the minor unit of each has.

All money is whole minor units, so whoever turns "12.50" into a number must know that a dollar has 100 cents, a yen
nothing below it and a dinar of Kuwait 1,000 fils. The exponents are those of ISO 4217. Codes of the standard without a
minor unit (gold, special drawing rights, test codes) are no money here: a price of gold is quoted in dollars.
"""

from collections.abc import Mapping

_ZERO = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_TWO = (
    "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CNY "
    "COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS "
    "INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR "
    "MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP "
    "STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG YER ZAR ZMW ZWG"
)
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_FOUR = "CLF UYW"
# No longer money, but in the history of the euro's reference rates.
_WITHDRAWN_ZERO = "TRL"
_WITHDRAWN_TWO = "BGN CYP EEK HRK LTL LVL MTL ROL SIT SKK"

EXPONENTS: Mapping[str, int] = {
    code: digits
    for digits, codes in (
        (0, f"{_ZERO} {_WITHDRAWN_ZERO}"),
        (2, f"{_TWO} {_WITHDRAWN_TWO}"),
        (3, _THREE),
        (4, _FOUR),
    )
    for code in codes.split()
}
"""The decimals of the minor unit, by alphabetic code (ISO 4217, as of 2026, and withdrawn codes)."""


class UnknownCurrencyError(ValueError):
    """A code that is no currency of ISO 4217 with a minor unit."""


def exponent(currency: str) -> int:
    """How many decimals the minor unit has. Raises UnknownCurrencyError."""
    try:
        return EXPONENTS[currency]
    except KeyError:
        raise UnknownCurrencyError(f"{currency!r} is no currency of ISO 4217 that has a minor unit") from None
