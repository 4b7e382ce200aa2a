"""Paper, beeps and numbers: the hardware of a shop.

A device is a **port** (`port.open_port`: a tty, a socket or a file, by URL, exclusively) owned by
one **thread** (`device.Device`), which opens it again for ever. Events come out through a callback
that only enqueues; commands go in by `submit`. A cable that is pulled never blocks a sale.

Receipt, printer, spool:

    blocks = receipt_layout.sale_receipt(ReceiptData(...), "zh-CN")   # what stands where
    request = spool.PrintRequest(id=..., device="t1", blocks=blocks)
    spool.enqueue(connection, spool.kick_request(...), at_ms=now)     # both in the sale's own
    spool.enqueue(connection, request, at_ms=now)                     # transaction, drawer first
    ...commit...
    worker.wake()                                                     # printworker.PrintWorker

`receipt.render` makes the bytes for a profile (`profiles.toml`), python-escpos encodes commands and
`gbtext` makes Chinese right. `printer.Printer` says `confirmed` only when the printer has answered
a fence behind the job; what may be on paper without that is `unknown`, and its next copy bears
补打 第n次 REPRINT n. `spool.define_print_job(metadata)` attaches the table.

Scanner and the meaning of a code:

    scanner = Scanner("t1", url, on_event=queue.put); scanner.start()
    scanner.enable()        # while the till's page lives; disable(hold=True) during a dialog
    scan.read(text, prefixes=..., tender=False)   # Gtin | Rcn | Gs1 | PayCode | Member | ...

More rooms, each a small module over the same port and owner thread:

    display.Display   two lines for the customer, ESC/POS or CD5220
    scale.Scale       stable grams, once per item, Mettler 8217 or CAS
    label             shelf labels as pictures, ZPL or TSPL, with their preview
    payment           scan-pay as a machine without I/O; payhttp drives the simulated provider

`note` encodes and decodes our own codes: transfer notes and receipts.

`doctor.examine` gives one verdict per device. `faults` has the sentences. `sim` is a whole virtual
shop on ptys and sockets, strict about every byte: `python -m devices.sim`.

This floor builds on `protocol`'s pure part; it knows neither promotions nor the edge. Time comes in
as a callable; `time.monotonic` alone is asked for deadlines.
"""

from devices import faults as faults
