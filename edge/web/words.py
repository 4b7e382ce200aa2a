"""The words that scripts put on a page, in the page's language; `{name}` is filled in there."""

from edge.web.tongue import _


def shared_words() -> dict[str, str]:
    """For every page."""
    return {
        "as_of": _("as of {time}"),
        "close": _("Close"),
        "edge_away": _("The shop's computer does not answer. What you entered is kept here."),
        "backspace": _("Delete the last figure"),
        "no_quantity": _("Type a quantity above 0, like 3 or 0.250."),
        "no_amount": _("That is not an amount."),
        "take_out": _("Take out"),
        "search": _("Search"),
        "quantity": _("Quantity"),
        "code": _("Code"),
        "on_hand": _("{n} in stock"),
        "nothing_found": _("Nothing was found for “{text}”. Check the spelling or use the code."),
        "unknown_code": _("Unknown code"),
        "search_hint": _("Type part of a name, an article number or a code."),
    }


def till_words() -> dict[str, str]:
    """For the till."""
    return (
        shared_words()
        | _money_words()
        | {
            "one_less": _("One less"),
            "one_more": _("One more"),
            "why": _("Why this price"),
            "oversold": _("only {n} in the book"),
            "unknown_short": _("not sold"),
            "unknown_said": _("Unknown code {code}. It is kept as a red row."),
            "unknown_blocks": _(
                "Unknown code in the sale: take it out, or find the product, before paying."
            ),
            "on_its_way": _("on its way to the shop's computer"),
            "items": _("items: {n}"),
            "search_label": _("Name, article number or code"),
            "no_price": _("no price"),
            "held_sales": _("Sales on hold"),
            "held_by": _("{time} · till {till} · {who}"),
            "none_held": _("No sale is on hold."),
            "is_held": _("The sale is on hold. Any till can resume it with F6."),
            "whole_sale": _("The whole sale"),
            "no_rule_touches": _("No promotion in force touches this product."),
            "all_rules": _("Show all promotions in force"),
            "gift": _("Free gift: {name} × {n}"),
            "kept_scans": _("Scans kept from before: {n}"),
            "kept_here": _("Kept here: {n}"),
            "void_sale": _("Void the whole sale"),
            "void_sale_text": _("All {n} rows go. Nothing has been paid."),
            "no_back": _("No, go back"),
            "drawer_opened": _("The drawer was opened."),
            "type_code": _("Type a code"),
            "no_code": _("Type a code first."),
            "take_over": _("Take over"),
            "weigh": _("Weigh"),
            "weigh_said": _("{name}: put it on the scale."),
            "weigh_blocks": _("Waiting for their weight: {n}. Weigh them or put them aside."),
            "weigh_more": _("{n} more to weigh after this."),
            "weight_by_hand": _("Weight by hand, {unit}"),
            "by_hand": _("weight typed by hand"),
            "take_weight": _("Take the weight"),
            "not_weighed": _("Put aside"),
            "tare_g": _("Tare (g)"),
            "gross_tare": _("gross {gross} kg, tare {tare} kg"),
        }
    )


def _tender_words() -> dict[str, str]:
    return {
        "payment": _("Payment"),
        "scan_pay": _("Scan-pay"),
        "card": _("Card"),
        "scan_pay_hint": _("Or scan the customer's payment code."),
        "scan_pay_code": _("Scan the payment code on the customer's phone."),
        "or_type_code": _("Or type the code"),
        "collect": _("Collect"),
        "asking": _("Asking for the money…"),
        "card_hint": _("The customer follows the terminal."),
        "cancel_payment": _("Cancel the payment"),
        "cancelling": _("Cancelling; whatever was paid goes back…"),
        "paying_now": _("A payment is open; this scan was not taken."),
        "part_paid": _("{kind}: {amount} paid"),
        "give_back": _("Give back"),
        "no_more_than": _("{amount} is due; no more can be collected."),
    }


def _money_words() -> dict[str, str]:
    return _tender_words() | {
        "total": _("Total"),
        "paid_total": _("Paid"),
        "saved": _("saved {amount}"),
        "cash": _("Cash"),
        "paid": _("Paid"),
        "given": _("Given"),
        "exact": _("Exact"),
        "change": _("Change"),
        "still_short": _("still missing"),
        "taking": _("Booking…"),
        "asking_again": _("No answer yet, asking again. It stays one sale."),
        "sale_done": _("Sale finished"),
        "given_of": _("{given} given for {total}"),
        "receipt_no": _("Receipt {number}"),
        "oversold_sold": _("More sold than the book has: {n}. The manager sees it listed."),
        "print_again": _("Print again"),
        "next_sale": _("Next sale"),
        "scan_starts_next": _("The next scan starts the next sale."),
        "last_receipts": _("Last receipts"),
        "sold_at": _("{time} · items: {n}"),
        "no_receipts": _("No sale yet."),
        "copy_printed": _("Copy {n} goes to the printer, marked as a reprint."),
        "cannot_pay": _("This sale cannot be paid yet."),
        "open_shift_first": _("Open a shift first; the sale is kept."),
        "waits_for_scans": _("Scans on their way: {n}. Payment opens when they have arrived."),
    }


def goods_words() -> dict[str, str]:
    """For the pages that collect goods: count, receive, scrap, send."""
    return shared_words() | {
        "less": _("Less"),
        "more": _("More"),
        "was_on_hand": _("book: {n}"),
        "not_known": _("No product has the code “{code}”."),
        "no_lines": _("Scan or search the first product."),
        "lines_n": _("products: {n}"),
        "pieces_n": _("pieces: {n}"),
        "kept_lines": _("Kept from before: {n} products. Go on, or start anew."),
        "start_anew": _("Start anew"),
        "booking": _("Booking…"),
        "broken": _("of these broken"),
        "sent_n": _("sent {n}"),
        "missing_n": _("{n} missing"),
        "complete": _("complete"),
        "note_wrong": _("This is not the note of a transfer to this shop."),
        "too_many": _("{n} more than was sent"),
    }
