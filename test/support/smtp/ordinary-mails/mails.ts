// Ordinary mails of many kinds, as the programs in their names write them.
import { gzipSync } from 'node:zlib'
import MailComposer from 'nodemailer/lib/mail-composer'
import { zip } from '../../zip-builder'
import {
  base64,
  bytesOf,
  crlf,
  entity,
  envelope,
  file,
  inCharset,
  mime,
  parts,
  type Place,
  quotedPrintable,
  text,
  textOf,
} from './writing'

const document = zip(['[Content_Types].xml', 'word/document.xml'])
const archive = zip(['report.xml'])

export type Write = (place: Place) => string | Promise<string>

const pdf = '%PDF-1.4\n1 0 obj\n<< /Type /Catalog >>\nendobj\ntrailer\n<< /Root 1 0 R >>\n%%EOF\n'
const png = textOf(
  Buffer.from(
    'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=',
    'base64',
  ),
)
const sentence = 'The quick brown fox jumps over the lazy dog. '
const paragraph = sentence.repeat(12).trim()
const html = (body: string) => `<html><head><title>x</title></head><body>${body}</body></html>`

function simple(fields: readonly string[], body: string): string {
  return entity([...envelope('Ordinary'), mime, ...fields], body)
}

/** `Content-Type` of a multipart as its program writes it, boundary on the second line or not. */
function multi(
  type: string,
  boundary: string,
  entities: readonly string[],
  more: readonly string[] = [],
): string {
  return entity([...envelope('Ordinary'), ...more, mime, type], parts(boundary, entities))
}

function inner(type: string, boundary: string, entities: readonly string[]): string {
  return entity([`Content-Type: ${type}; boundary="${boundary}"`], parts(boundary, entities))
}

async function composed(mail: object): Promise<string> {
  const fixed = { messageId: '<1@example.com>', date: new Date(Date.UTC(2023, 0, 2)), baseBoundary: 'fixed' }
  const addresses = { from: 'sender@example.com', to: 'recipient@example.com' }
  return textOf(await new MailComposer({ ...fixed, ...addresses, ...mail }).compile().build())
}

const content = (place: Place, name: string, ordinary: string | Buffer) => bytesOf(place(name, ordinary))

export const plainTexts: Readonly<Record<string, Write>> = {
  'no MIME headers at all': (place) => entity(envelope('Ordinary'), crlf(place('text', sentence), sentence)),
  'only From and Date': (place) =>
    entity(['From: a@example.com', 'Date: Mon, 2 Jan 2023 10:00:00 +0100'], crlf(place('text', sentence))),
  'empty body': () => entity(envelope('Empty'), ''),
  'empty body with MIME headers': () => simple(['Content-Type: text/plain; charset=us-ascii'], '\r\n'),
  'us-ascii': (place) =>
    simple(
      ['Content-Type: text/plain; charset=us-ascii', 'Content-Transfer-Encoding: 7bit'],
      crlf(place('text', sentence)),
    ),
  'a type without parameters': (place) => simple(['Content-Type: text/plain'], crlf(place('text', sentence))),
  'utf-8, 8bit': (place) =>
    simple(
      ['Content-Type: text/plain; charset="utf-8"', 'Content-Transfer-Encoding: 8bit'],
      crlf(inCharset('Grüße – 你好', 'utf-8'), place('text', sentence)),
    ),
  'utf-8, quoted-printable': (place) =>
    simple(
      ['Content-Type: text/plain; charset=UTF-8', 'Content-Transfer-Encoding: quoted-printable'],
      quotedPrintable(crlf(inCharset('Grüße – 你好', 'utf-8'), place('text', paragraph))),
    ),
  'utf-8, base64': (place) =>
    simple(
      ['Content-Type: text/plain; charset="utf-8"', 'Content-Transfer-Encoding: base64'],
      base64(crlf(inCharset('Grüße – 你好', 'utf-8'), place('text', paragraph))),
    ),
  'iso-8859-1, quoted-printable': (place) =>
    simple(
      ['Content-Type: text/plain; charset=iso-8859-1', 'Content-Transfer-Encoding: quoted-printable'],
      quotedPrintable(crlf(inCharset('Grüße', 'iso-8859-1'), place('text', sentence))),
    ),
  'windows-1252, 8bit': (place) =>
    simple(
      ['Content-Type: text/plain; charset="Windows-1252"', 'Content-Transfer-Encoding: 8bit'],
      crlf(inCharset('„Grüße“ €', 'windows-1252'), place('text', sentence)),
    ),
  'koi8-r, 8bit': (place) =>
    simple(
      ['Content-Type: text/plain; charset=koi8-r', 'Content-Transfer-Encoding: 8bit'],
      crlf(inCharset('Привет, мир', 'koi8-r'), place('text', sentence)),
    ),
  'koi8-r, base64': (place) =>
    simple(
      ['Content-Type: text/plain; charset=koi8-r', 'Content-Transfer-Encoding: base64'],
      base64(crlf(inCharset('Привет, мир', 'koi8-r'), place('text', sentence))),
    ),
  // ESC $ B ... ESC ( B by hand: "Japanese" in JIS X 0208.
  'iso-2022-jp, 7bit': (place) =>
    simple(
      ['Content-Type: text/plain; charset=ISO-2022-JP', 'Content-Transfer-Encoding: 7bit'],
      crlf('\x1b$BF|K\\8l\x1b(B', place('text', sentence)),
    ),
  'gb2312, base64': (place) =>
    simple(
      ['Content-Type: text/plain; charset="gb2312"', 'Content-Transfer-Encoding: base64'],
      base64(crlf(inCharset('你好', 'gb2312'), place('text', sentence))),
    ),
  'big5, 8bit': (place) =>
    simple(
      ['Content-Type: text/plain; charset="big5"', 'Content-Transfer-Encoding: 8bit'],
      crlf(inCharset('你好', 'big5'), place('text', sentence)),
    ),
  'euc-kr, base64': (place) =>
    simple(
      ['Content-Type: text/plain; charset=euc-kr', 'Content-Transfer-Encoding: base64'],
      base64(crlf(inCharset('안녕하세요', 'euc-kr'), place('text', sentence))),
    ),
  'format=flowed by Thunderbird': (place) =>
    entity(
      [
        'Message-ID: <2@example.com>',
        'Date: Mon, 2 Jan 2023 10:00:00 +0100',
        mime,
        'User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Thunderbird/102.6.0',
        'Content-Language: en-US',
        'To: recipient@example.com',
        'From: Sender <sender@example.com>',
        'Subject: flowed',
        'Content-Type: text/plain; charset=UTF-8; format=flowed',
        'Content-Transfer-Encoding: 7bit',
      ],
      crlf('> a quotation ', '> that goes on', '', sentence, place('text', sentence), '-- ', 'Sender'),
    ),
  'cron through sendmail': (place) =>
    entity(
      [
        'Return-Path: <root@host.example.com>',
        'Received: (from root@localhost)',
        '\tby host.example.com (8.15.2/8.15.2/Submit) id 30290000001;',
        '\tMon, 2 Jan 2023 10:00:01 +0100',
        'Date: Mon, 2 Jan 2023 10:00:01 +0100',
        'Message-Id: <202301020900.30290000001@host.example.com>',
        'From: root@host.example.com (Cron Daemon)',
        'To: root@host.example.com',
        'Subject: Cron <root@host> run-parts /etc/cron.daily',
        mime,
        'Content-Type: text/plain; charset=UTF-8',
        'Content-Transfer-Encoding: 8bit',
        'X-Cron-Env: <SHELL=/bin/sh>',
        'Auto-Submitted: auto-generated',
        'Precedence: bulk',
      ],
      crlf('/etc/cron.daily/logrotate:', place('text', 'error: nothing to rotate')),
    ),
  'a patch by git send-email': (place) =>
    entity(
      [
        'From: Sender <sender@example.com>',
        'To: list@example.com',
        'Subject: [PATCH 1/2] doc: mend a word',
        'Date: Mon,  2 Jan 2023 10:00:00 +0100',
        'Message-Id: <20230102090000.1-2-sender@example.com>',
        'X-Mailer: git-send-email 2.39.0',
        'In-Reply-To: <20230102090000.1-1-sender@example.com>',
        'References: <20230102090000.1-1-sender@example.com>',
        mime,
        'Content-Transfer-Encoding: 8bit',
      ],
      crlf(
        'Why.',
        '',
        'Signed-off-by: Sender <sender@example.com>',
        '---',
        ' README | 2 +-',
        ' 1 file changed, 1 insertion(+), 1 deletion(-)',
        '',
        'diff --git a/README b/README',
        '--- a/README',
        '+++ b/README',
        '@@ -1,3 +1,3 @@',
        ' a',
        '-b',
        '+c',
        place('text', ' d'),
        '--',
        '2.39.0',
        '',
      ),
    ),
  'PHP mail()': (place) =>
    entity(
      [
        'To: recipient@example.com',
        'Subject: =?UTF-8?B?R3LDvMOfZQ==?=',
        'X-PHP-Originating-Script: 1000:mail.php',
        'From: webmaster@example.com',
        'Reply-To: webmaster@example.com',
        'X-Mailer: PHP/8.1.2',
        'Content-type: text/html; charset=iso-8859-1',
      ],
      crlf(html(place('text', sentence))),
    ),
  mutt: (place) =>
    entity(
      [
        'Date: Mon, 2 Jan 2023 10:00:00 +0100',
        'From: Sender <sender@example.com>',
        'To: recipient@example.com',
        'Subject: Re: question',
        'Message-ID: <Y7KqAAAA@example.com>',
        'References: <0@example.com>',
        mime,
        'Content-Type: text/plain; charset=us-ascii',
        'Content-Disposition: inline',
        'In-Reply-To: <0@example.com>',
      ],
      crlf(
        'On Mon, Jan 02, 2023 at 09:00:00AM +0100, Recipient wrote:',
        '> What?',
        '',
        place('text', sentence),
      ),
    ),
  'format=flowed and delsp by Apple Mail': (place) =>
    entity(
      [
        'Message-Id: <3@example.com>',
        'From: Sender <sender@example.com>',
        'To: recipient@example.com',
        'Content-Type: text/plain; charset=US-ASCII; format=flowed; delsp=yes',
        'Content-Transfer-Encoding: 7bit',
        'Mime-Version: 1.0 (Apple Message framework v936)',
        'Subject: flowed',
        'Date: Mon, 2 Jan 2023 10:00:00 +0100',
      ],
      crlf('A line that goes  ', 'on here.', place('text', sentence)),
    ),
  'a file as the whole mail, a semicolon behind its name': (place) =>
    entity(
      [
        ...envelope('Scan'),
        mime,
        'Content-Type: application/pdf; name="scan.pdf";',
        'Content-Transfer-Encoding: base64',
        'Content-Disposition: attachment; filename="scan.pdf";',
      ],
      base64(place('pdf', pdf)),
    ),
  'clear-signed by PGP': (place) =>
    simple(
      ['Content-Type: text/plain; charset=us-ascii'],
      crlf(
        '-----BEGIN PGP SIGNED MESSAGE-----',
        'Hash: SHA256',
        '',
        place('text', sentence),
        '- -- ',
        'Sender',
        '-----BEGIN PGP SIGNATURE-----',
        '',
        base64('\x89\x02\x33 not a real one').trimEnd(),
        '=abcd',
        '-----END PGP SIGNATURE-----',
      ),
    ),
  'HTML only, quoted-printable': (place) =>
    simple(
      ['Content-Type: text/html; charset="utf-8"', 'Content-Transfer-Encoding: quoted-printable'],
      quotedPrintable(crlf(html(`<p style="color:#fff">${place('text', paragraph)}</p>`))),
    ),
  'an attachment as the whole mail, by a scanner device': (place) =>
    entity(
      [
        ...envelope('Scan from device', 'scanner@example.com'),
        mime,
        'Content-Type: application/pdf; name="SKM_0001.pdf"',
        'Content-Transfer-Encoding: base64',
        'Content-Disposition: attachment; filename="SKM_0001.pdf"',
        'X-Mailer: KONICA MINOLTA',
      ],
      base64(place('pdf', pdf), 72),
    ),
}

export const multiparts: Readonly<Record<string, Write>> = {
  'HTML alternative by Gmail': (place) =>
    entity(
      [
        mime,
        'Date: Mon, 2 Jan 2023 10:00:00 +0100',
        'Message-ID: <CAF=abc+1@mail.example.com>',
        'Subject: hello',
        'From: Sender <sender@example.com>',
        'To: recipient@example.com',
        'Content-Type: multipart/alternative; boundary="0000000000005b1c5d05f13f3a1c"',
      ],
      parts('0000000000005b1c5d05f13f3a1c', [
        entity(['Content-Type: text/plain; charset="UTF-8"'], crlf(place('text', sentence))),
        entity(
          ['Content-Type: text/html; charset="UTF-8"'],
          crlf(`<div dir="ltr">${place('html', sentence)}</div>`),
        ),
      ]),
    ),
  'an attachment by Gmail': (place) =>
    entity(
      [
        mime,
        ...envelope('with file'),
        'Content-Type: multipart/mixed; boundary="000000000000abcdef05f13f3a1c"',
      ],
      parts('000000000000abcdef05f13f3a1c', [
        inner('multipart/alternative', '000000000000abcdec05f13f3a1a', [
          entity(['Content-Type: text/plain; charset="UTF-8"'], crlf(place('text', sentence))),
          entity(
            ['Content-Type: text/html; charset="UTF-8"'],
            crlf(`<div dir="ltr">${place('html', sentence)}</div>`),
          ),
        ]),
        entity(
          [
            'Content-Type: application/pdf; name="invoice.pdf"',
            'Content-Disposition: attachment; filename="invoice.pdf"',
            'Content-Transfer-Encoding: base64',
            'Content-ID: <f_lceabc0>',
            'X-Attachment-Id: f_lceabc0',
          ],
          base64(place('pdf', pdf)),
        ),
      ]),
    ),
  'Outlook through Exchange': (place) =>
    multi(
      'Content-Type: multipart/mixed;\r\n\tboundary="_004_AM0PR01MB1234567890AM0PR01MB1234eurp_"',
      '_004_AM0PR01MB1234567890AM0PR01MB1234eurp_',
      [
        entity(
          ['Content-Type: multipart/alternative;\r\n\tboundary="_000_AM0PR01MB1234567890AM0PR01MB1234eurp_"'],
          parts('_000_AM0PR01MB1234567890AM0PR01MB1234eurp_', [
            entity(
              [
                'Content-Type: text/plain; charset="iso-8859-1"',
                'Content-Transfer-Encoding: quoted-printable',
              ],
              quotedPrintable(crlf(place('text', paragraph))),
            ),
            entity(
              [
                'Content-Type: text/html; charset="iso-8859-1"',
                'Content-Transfer-Encoding: quoted-printable',
              ],
              quotedPrintable(crlf(html(place('html', paragraph)))),
            ),
          ]),
        ),
        entity(
          [
            'Content-Type: application/vnd.openxmlformats-officedocument.wordprocessingml.document;\r\n\tname="report.docx"',
            'Content-Description: report.docx',
            'Content-Disposition: attachment; filename="report.docx"; size=12345;\r\n\tcreation-date="Mon, 02 Jan 2023 09:00:00 GMT";\r\n\tmodification-date="Mon, 02 Jan 2023 09:00:00 GMT"',
            'Content-Transfer-Encoding: base64',
          ],
          base64(place('docx', document)),
        ),
      ],
      [
        'Thread-Topic: report',
        'Thread-Index: AQHZHo0AAAAA',
        'Accept-Language: en-US',
        'X-MS-Has-Attach: yes',
        'X-MS-TNEF-Correlator:',
        'x-ms-exchange-antispam-messagedata-0: =?us-ascii?Q?abc?=',
      ],
    ),
  'Outlook with pictures, related': (place) =>
    multi(
      'Content-Type: multipart/related;\r\n\tboundary="----=_NextPart_000_0001_01D91E8D.00000000"',
      '----=_NextPart_000_0001_01D91E8D.00000000',
      [
        inner('multipart/alternative', '----=_NextPart_001_0002_01D91E8D.00000000', [
          text(place('text', sentence), 'text/plain; charset="us-ascii"'),
          entity(
            ['Content-Type: text/html; charset="us-ascii"', 'Content-Transfer-Encoding: quoted-printable'],
            quotedPrintable(crlf(html(`${place('html', sentence)}<img src="cid:image001.png@01D91E8D">`))),
          ),
        ]),
        entity(
          [
            'Content-Type: image/png; name="image001.png"',
            'Content-Transfer-Encoding: base64',
            'Content-ID: <image001.png@01D91E8D>',
          ],
          base64(place('picture', png)),
        ),
      ],
      ['X-Mailer: Microsoft Outlook 16.0', 'Thread-Index: AQHZHo0AAAAA'],
    ),
  'winmail.dat by Outlook': (place) =>
    multi('Content-Type: multipart/mixed; boundary="_000_tnef_"', '_000_tnef_', [
      text(place('text', sentence), 'text/plain; charset="us-ascii"'),
      file('application/ms-tnef', 'winmail.dat', place('winmail.dat', '\x78\x9f\x3e\x22\x01\x00')),
    ]),
  'Apple Mail with a file between texts': (place) =>
    entity(
      [
        'From: Sender <sender@example.com>',
        'Content-Type: multipart/mixed;\r\n\tboundary="Apple-Mail=_F1B2C3D4-0000-4000-8000-000000000001"',
        'Mime-Version: 1.0 (Mac OS X Mail 16.0 \\(3731.200.110\\))',
        'Subject: photo',
        'Message-Id: <F1B2C3D4-0000-4000-8000-000000000002@example.com>',
        'Date: Mon, 2 Jan 2023 10:00:00 +0100',
        'To: recipient@example.com',
        'X-Mailer: Apple Mail (2.3731.200.110)',
      ],
      parts(
        'Apple-Mail=_F1B2C3D4-0000-4000-8000-000000000001',
        [
          entity(
            ['Content-Transfer-Encoding: 7bit', 'Content-Type: text/plain;\r\n\tcharset=us-ascii'],
            crlf(place('text', sentence)),
          ),
          entity(
            [
              'Content-Disposition: inline;\r\n\tfilename=photo.png',
              'Content-Type: image/png;\r\n\tx-unix-mode=0644;\r\n\tname="photo.png"',
              'Content-Transfer-Encoding: base64',
            ],
            base64(place('picture', png)),
          ),
          entity(
            ['Content-Transfer-Encoding: 7bit', 'Content-Type: text/plain;\r\n\tcharset=us-ascii'],
            crlf('', place('second text', 'Sent from my device')),
          ),
        ],
        '\r\n',
      ),
    ),
  'Thunderbird with a file': (place) =>
    multi(
      'Content-Type: multipart/mixed; boundary="------------AbCdEfGhIjKlMnOpQrStUvWx"',
      '------------AbCdEfGhIjKlMnOpQrStUvWx',
      [
        text(place('text', sentence), 'text/plain; charset=UTF-8; format=flowed'),
        entity(
          [
            'Content-Type: application/pdf; name="r=C3=A9sum=C3=A9.pdf"'.replaceAll('=C3=A9', 'e'),
            `Content-Disposition: attachment; filename*0*=UTF-8''r%C3%A9sum%C3%A9; filename*1*=.pdf`,
            'Content-Transfer-Encoding: base64',
            '',
          ].filter(Boolean),
          base64(place('pdf', pdf), 72),
        ),
      ],
      ['User-Agent: Mozilla Thunderbird'],
    ).replace('--------------AbCd', 'This is a multi-part message in MIME format.\r\n--------------AbCd'),
  'mutt with a file': (place) =>
    multi(
      'Content-Type: multipart/mixed; boundary="d6Gm4EdcadzBjdND"',
      'd6Gm4EdcadzBjdND',
      [
        entity(
          ['Content-Type: text/plain; charset=us-ascii', 'Content-Disposition: inline'],
          crlf(place('text', sentence)),
        ),
        entity(
          [
            'Content-Type: text/x-diff; charset=us-ascii',
            'Content-Disposition: attachment; filename="a.patch"',
          ],
          crlf('--- a', '+++ b', place('patch', '@@ -1 +1 @@')),
        ),
      ],
      ['User-Agent: Mutt/2.2.9'],
    ),
  'a boundary without quotes': (place) =>
    multi('Content-Type: multipart/mixed; boundary=abc123', 'abc123', [
      text(place('text', sentence)),
      file('application/zip', 'a.zip', place('zip', archive)),
    ]),
  'nodemailer: text, HTML, picture and files': (place) =>
    composed({
      subject: 'Grüße',
      text: place('text', paragraph),
      html: `<p>${place('html', paragraph)}</p><img src="cid:a@example.com">`,
      attachments: [
        { cid: 'a@example.com', filename: 'a.png', content: content(place, 'picture', png) },
        { filename: 'Überblick 2023.pdf', content: content(place, 'pdf', pdf) },
        { filename: 'data.csv', content: content(place, 'csv', 'a;b\r\n1;2\r\n') },
        {
          filename: 'page.html',
          content: content(place, 'attached html', html('x')),
          contentTransferEncoding: 'quoted-printable',
        },
      ],
    }),
  'nodemailer: one docx alone': (place) =>
    composed({
      subject: 'file',
      attachments: [{ filename: 'a.docx', content: content(place, 'docx', document) }],
    }),
  'nodemailer: an invitation': (place) =>
    composed({
      subject: 'Invitation',
      text: place('text', sentence),
      icalEvent: {
        method: 'REQUEST',
        filename: 'invite.ics',
        content: crlf('BEGIN:VCALENDAR', 'VERSION:2.0', `X-NOTE:${place('calendar', 'x')}`, 'END:VCALENDAR'),
      },
    }),
  'nodemailer: long non-ASCII file name': (place) =>
    composed({
      subject: 'file',
      text: place('text', 'x'),
      attachments: [{ filename: `${'отчёт-'.repeat(15)}.pdf`, content: content(place, 'pdf', pdf) }],
    }),
  'a newsletter': (place) =>
    multi(
      'Content-Type: multipart/alternative;\r\n boundary="----=_Part_12345_67890.1672650000000"',
      '----=_Part_12345_67890.1672650000000',
      [
        entity(
          ['Content-Type: text/plain; charset=UTF-8', 'Content-Transfer-Encoding: quoted-printable'],
          quotedPrintable(crlf(place('text', `${inCharset('Angebote für Sie – ', 'utf-8')}${paragraph}`))),
        ),
        entity(
          ['Content-Type: text/html; charset=UTF-8', 'Content-Transfer-Encoding: quoted-printable'],
          quotedPrintable(crlf(html(`${`<td>${paragraph}</td>`.repeat(6)}${place('html', sentence)}`))),
        ),
      ],
      [
        'List-Unsubscribe: <https://example.com/u?x=1>,\r\n <mailto:unsubscribe@example.com>',
        'List-Unsubscribe-Post: List-Unsubscribe=One-Click',
        'Precedence: bulk',
        'Feedback-ID: 1:example',
        'X-Mailer: mailer',
      ],
    ),
  'through Amazon SES': (place) =>
    entity(
      [
        'DKIM-Signature: v=1; a=rsa-sha256; q=dns/txt; c=relaxed/simple;\r\n\ts=abc; d=example.com; t=1672650000;\r\n\th=From:To:Subject:MIME-Version:Content-Type;\r\n\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=;\r\n\tb=AAAA',
        ...envelope('Receipt'),
        mime,
        'Content-Type: multipart/alternative; \r\n\tboundary="----=_Part_1_2.3"',
        'X-SES-Outgoing: 2023.01.02-54.240.0.1',
      ],
      parts('----=_Part_1_2.3', [
        entity(
          ['Content-Type: text/plain; charset=UTF-8', 'Content-Transfer-Encoding: 7bit'],
          crlf(place('text', sentence)),
        ),
        entity(
          ['Content-Type: text/html; charset=UTF-8', 'Content-Transfer-Encoding: 7bit'],
          crlf(html(place('html', sentence))),
        ),
      ]),
    ),
  'PHPMailer with a file': (place) =>
    multi(
      'Content-Type: multipart/mixed;\r\n boundary="b1_abcdefghijklmnopqrstuvwxyz"',
      'b1_abcdefghijklmnopqrstuvwxyz',
      [
        inner('multipart/alternative', 'b2_abcdefghijklmnopqrstuvwxyz', [
          entity(['Content-Type: text/plain; charset=us-ascii'], crlf(place('text', sentence))),
          entity(['Content-Type: text/html; charset=us-ascii'], crlf(html(place('html', sentence)))),
        ]),
        file('application/pdf', 'invoice.pdf', place('pdf', pdf)),
      ],
      ['X-Mailer: PHPMailer 6.7.1 (https://github.com/PHPMailer/PHPMailer)'],
    ),
  'a fax server': (place) =>
    multi(
      'Content-Type: multipart/mixed; boundary="fax-0001"',
      'fax-0001',
      [
        entity(['Content-Type: text/plain; charset=us-ascii'], crlf(place('text', 'Fax of 2 pages'))),
        file('image/tiff', 'fax0001.tif', place('tiff', 'II*\0')),
      ],
      ['X-Mailer: HylaFAX'],
    ),
  'an invitation by Google': (place) =>
    multi('Content-Type: multipart/mixed; boundary="000000000000cal"', '000000000000cal', [
      inner('multipart/alternative', '000000000000alt', [
        entity(
          [
            'Content-Type: text/plain; charset="UTF-8"; format=flowed; delsp=yes',
            'Content-Transfer-Encoding: base64',
          ],
          base64(place('text', sentence)),
        ),
        entity(
          ['Content-Type: text/html; charset="UTF-8"', 'Content-Transfer-Encoding: quoted-printable'],
          quotedPrintable(crlf(html(place('html', sentence)))),
        ),
        entity(
          ['Content-Type: text/calendar; charset="UTF-8"; method=REQUEST', 'Content-Transfer-Encoding: 7bit'],
          crlf('BEGIN:VCALENDAR', 'VERSION:2.0', `X-NOTE:${place('calendar', 'x')}`, 'END:VCALENDAR'),
        ),
      ]),
      file('application/ics', 'invite.ics', place('ics', crlf('BEGIN:VCALENDAR', 'END:VCALENDAR'))),
    ]),
  'a DMARC report': (place) =>
    multi('Content-Type: multipart/mixed; boundary="report_section"', 'report_section', [
      text(place('text', 'This is a DMARC aggregate report.'), 'text/plain'),
      file(
        'application/gzip',
        'example.com!example.org!1672531200!1672617599.xml.gz',
        place('gzip', gzipSync('<feedback/>')),
      ),
    ]),
  'a DMARC report without text': (place) =>
    simple(
      [
        'Content-Type: application/zip; \r\n\tname="example.com!example.org!1672531200!1672617599.zip"',
        'Content-Disposition: attachment; \r\n\tfilename="example.com!example.org!1672531200!1672617599.zip"',
        'Content-Transfer-Encoding: base64',
      ],
      base64(place('zip', archive)),
    ),
  'a Mailman footer as a part': (place) =>
    multi(
      'Content-Type: multipart/mixed; boundary="===============1234567890123456789=="',
      '===============1234567890123456789==',
      [
        inner('multipart/alternative', '000000000000aaa', [
          entity(['Content-Type: text/plain; charset="UTF-8"'], crlf(place('text', sentence))),
          entity(['Content-Type: text/html; charset="UTF-8"'], crlf(html(place('html', sentence)))),
        ]),
        entity(
          [
            'Content-Type: text/plain; charset="us-ascii"',
            mime,
            'Content-Transfer-Encoding: 7bit',
            'Content-Disposition: inline',
          ],
          crlf(
            '_______________________________________________',
            'list mailing list',
            place('footer', 'list@example.com'),
          ),
        ),
      ],
      [
        'Sender: list-bounces@example.com',
        'List-Id: <list.example.com>',
        'Precedence: list',
        'X-Mailman-Version: 2.1.39',
        'Errors-To: list-bounces@example.com',
      ],
    ),
  'form data by a web form': (place) =>
    multi('Content-Type: multipart/form-data; boundary="form"', 'form', [
      entity(['Content-Disposition: form-data; name="a"'], crlf(place('field', 'x'))),
    ]),
}

const delivery = crlf(
  'Reporting-MTA: dns; mx.example.com',
  'Arrival-Date: Mon, 2 Jan 2023 10:00:00 +0100 (CET)',
  '',
  'Final-Recipient: rfc822; nobody@example.com',
  'Action: failed',
  'Status: 5.1.1',
  'Diagnostic-Code: smtp; 550 5.1.1 user unknown',
)

function returned(place: Place): string {
  return entity(
    [...envelope('returned'), mime, 'Content-Type: multipart/mixed; boundary="inner"'],
    parts('inner', [
      text(place('returned text', sentence)),
      file('application/pdf', 'a.pdf', place('returned pdf', pdf)),
    ]),
  )
}

export const messages: Readonly<Record<string, Write>> = {
  'a bounce by Postfix with the message': (place) =>
    multi(
      'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="4Nm1x21Z5Zz1abc.1672650000/mx.example.com"',
      '4Nm1x21Z5Zz1abc.1672650000/mx.example.com',
      [
        entity(
          ['Content-Description: Notification', 'Content-Type: text/plain; charset=us-ascii'],
          crlf('This is the mail system at host mx.example.com.', place('text', sentence)),
        ),
        entity(['Content-Description: Delivery report', 'Content-Type: message/delivery-status'], delivery),
        entity(['Content-Description: Undelivered Message', 'Content-Type: message/rfc822'], returned(place)),
      ],
      ['Auto-Submitted: auto-replied'],
    ),
  'a bounce with headers only': (place) =>
    multi('Content-Type: multipart/report; report-type=delivery-status; boundary="rpt"', 'rpt', [
      entity(['Content-Type: text/plain'], crlf(place('text', sentence))),
      entity(['Content-Type: message/delivery-status'], delivery),
      entity(['Content-Type: text/rfc822-headers'], crlf(...envelope('returned'))),
    ]),
  'a bounce by Exchange': (place) =>
    multi(
      'Content-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="9d7b3a52-0000-4000-8000-000000000000"',
      '9d7b3a52-0000-4000-8000-000000000000',
      [
        inner('multipart/alternative; differences=Content-Type', '6f1e2d3c-0000-4000-8000-000000000000', [
          entity(
            ['Content-Type: text/plain; charset="us-ascii"', 'Content-Transfer-Encoding: quoted-printable'],
            quotedPrintable(crlf(place('text', sentence))),
          ),
          entity(
            ['Content-Type: text/html; charset="us-ascii"', 'Content-Transfer-Encoding: quoted-printable'],
            quotedPrintable(crlf(html(place('html', sentence)))),
          ),
        ]),
        entity(['Content-Type: message/delivery-status'], delivery),
        entity(['Content-Type: message/rfc822'], returned(place)),
      ],
      ['X-MS-Exchange-Message-Is-Ndr:'],
    ),
  'a bounce by qmail': (place) =>
    entity(
      envelope('failure notice', 'MAILER-DAEMON@example.com'),
      crlf(
        'Hi. This is the qmail-send program at example.com.',
        '',
        '<nobody@example.com>:',
        'Sorry, no mailbox here by that name.',
        '',
        '--- Below this line is a copy of the message.',
        '',
        'Return-Path: <sender@example.com>',
        ...envelope('returned'),
        '',
        place('text', sentence),
      ),
    ),
  'a notice of reading': (place) =>
    multi('Content-Type: multipart/report; report-type=disposition-notification; boundary="mdn"', 'mdn', [
      entity(['Content-Type: text/plain'], crlf(place('text', sentence))),
      entity(
        ['Content-Type: message/disposition-notification', 'Content-Disposition: inline'],
        crlf(
          'Reporting-UA: host; program',
          'Final-Recipient: rfc822;recipient@example.com',
          'Original-Message-ID: <1@example.com>',
          'Disposition: manual-action/MDN-sent-manually; displayed',
        ),
      ),
    ]),
  'a complaint (ARF)': (place) =>
    multi('Content-Type: multipart/report; report-type=feedback-report; boundary="arf"', 'arf', [
      entity(
        ['Content-Type: text/plain; charset="US-ASCII"', 'Content-Transfer-Encoding: 7bit'],
        crlf(place('text', sentence)),
      ),
      entity(
        ['Content-Type: message/feedback-report'],
        crlf('Feedback-Type: abuse', 'User-Agent: program/1.0', 'Version: 1'),
      ),
      entity(['Content-Type: message/rfc822', 'Content-Disposition: inline'], returned(place)),
    ]),
  'forwarded as an attachment': (place) =>
    multi('Content-Type: multipart/mixed; boundary="fwd"', 'fwd', [
      text(place('text', sentence)),
      entity(
        [
          'Content-Type: message/rfc822; charset=UTF-8; name="returned.eml"',
          'Content-Disposition: attachment; filename="returned.eml"',
          'Content-Transfer-Encoding: 7bit',
        ],
        returned(place),
      ),
    ]),
  'forwarded as it came': (place) =>
    multi('Content-Type: multipart/mixed; boundary="fwd"', 'fwd', [
      text(place('text', sentence)),
      entity(
        ['Content-Type: message/rfc822', 'Content-Disposition: attachment; filename="message.eml"'],
        crlf(
          'DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.com; s=a;',
          '\th=from:to:subject; bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=AAAA',
          'X-Received: by 2002:a05:0 with SMTP id a1; Mon, 02 Jan 2023 01:00:00 -0800 (PST)',
        ) + returned(place),
      ),
    ]),
  'forwarded three times': (place) => {
    const forward = (boundary: string, message: string) =>
      multi(`Content-Type: multipart/mixed; boundary="${boundary}"`, boundary, [
        text(place(`text ${boundary}`, sentence)),
        entity(['Content-Type: message/rfc822'], message),
      ])
    return forward('one', forward('two', forward('three', returned(place))))
  },
  'a message as the whole body': (place) => simple(['Content-Type: message/rfc822'], returned(place)),
  'a digest of a list': (place) =>
    multi('Content-Type: multipart/mixed; boundary="===============1=="', '===============1==', [
      entity(
        ['Content-Type: text/plain; charset="us-ascii"', 'Content-Description: list Digest'],
        crlf(place('text', 'Send list submissions to')),
      ),
      inner('multipart/digest', '===============2==', [
        entity(
          ['Content-Type: message/rfc822', mime],
          entity([...envelope('first'), mime, 'Content-Type: text/plain'], crlf(place('first', sentence))),
        ),
        entity(['Content-Type: message/rfc822', mime], returned(place)),
      ]),
      entity(
        ['Content-Type: text/plain; charset="us-ascii"', 'Content-Description: Digest Footer'],
        crlf(place('footer', 'End')),
      ),
    ]),
  'a digest without types': (place) =>
    multi('Content-Type: multipart/digest; boundary="dig"', 'dig', [
      `\r\n${entity([...envelope('first'), mime, 'Content-Type: text/plain'], crlf(place('first', sentence)))}`,
      `\r\n${returned(place)}`,
    ]),
  'a plain digest (RFC 1153)': (place) =>
    entity(
      envelope('list Digest, Vol 1, Issue 1'),
      crlf(
        "Today's Topics:",
        '',
        '   1. first (Sender)',
        '',
        '-'.repeat(70),
        '',
        'Message: 1',
        'From: Sender <sender@example.com>',
        'Subject: [list] first',
        '',
        place('text', sentence),
        '',
        '-'.repeat(30),
        '',
        'End of list Digest, Vol 1, Issue 1',
        '*'.repeat(34),
      ),
    ),
}

const signature = '\x30\x82\x01\x00 not a real one'

export const signed: Readonly<Record<string, Write>> = {
  'S/MIME, detached, a text': (place) =>
    multi(
      'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="smime"',
      'smime',
      [
        text(place('text', sentence)),
        file('application/pkcs7-signature', 'smime.p7s', place('signature', signature)),
      ],
    ).replace('--smime', 'This is a cryptographically signed message in MIME format.\r\n\r\n--smime'),
  'S/MIME, detached, with files': (place) =>
    multi(
      'Content-Type: multipart/signed; protocol="application/x-pkcs7-signature"; micalg=sha1; boundary="smime"',
      'smime',
      [
        inner('multipart/mixed', 'content', [
          text(place('text', sentence)),
          file('application/pdf', 'a.pdf', place('pdf', pdf)),
        ]),
        file('application/x-pkcs7-signature', 'smime.p7s', place('signature', signature)),
      ],
    ),
  'PGP/MIME, a text': (place) =>
    multi(
      'Content-Type: multipart/signed; micalg=pgp-sha256;\r\n\tprotocol="application/pgp-signature"; boundary="pgp"',
      'pgp',
      [
        entity(
          [
            'Content-Type: text/plain; charset=us-ascii',
            'Content-Disposition: inline',
            'Content-Transfer-Encoding: quoted-printable',
          ],
          quotedPrintable(crlf(place('text', sentence))),
        ),
        entity(
          ['Content-Type: application/pgp-signature; name="signature.asc"'],
          crlf('-----BEGIN PGP SIGNATURE-----', '', place('signature', 'iQ'), '-----END PGP SIGNATURE-----'),
        ),
      ],
    ),
  'S/MIME, detached, one file': (place) =>
    multi(
      'Content-Type: multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256; boundary="smime"',
      'smime',
      [
        file('application/pdf', 'a.pdf', place('pdf', pdf)),
        file('application/pkcs7-signature', 'smime.p7s', place('signature', signature)),
      ],
    ),
  'PGP/MIME, a text in base64': (place) =>
    multi(
      'Content-Type: multipart/signed; micalg=pgp-sha256; protocol="application/pgp-signature"; boundary="pgp"',
      'pgp',
      [
        entity(
          ['Content-Type: text/plain; charset=utf-8', 'Content-Transfer-Encoding: base64'],
          base64(crlf(place('text', sentence))),
        ),
        entity(
          ['Content-Type: application/pgp-signature; name="signature.asc"'],
          crlf(place('signature', 'iQ')),
        ),
      ],
    ),
  'PGP/MIME, with files': (place) =>
    multi(
      'Content-Type: multipart/signed; micalg=pgp-sha512;\r\n protocol="application/pgp-signature";\r\n boundary="pgp"',
      'pgp',
      [
        inner('multipart/mixed; protected-headers="v1"', 'content', [
          text(place('text', sentence)),
          file('application/pdf', 'a.pdf', place('pdf', pdf)),
        ]),
        entity(
          [
            'Content-Type: application/pgp-signature; name="OpenPGP_signature.asc"',
            'Content-Description: OpenPGP digital signature',
            'Content-Disposition: attachment; filename="OpenPGP_signature"',
          ],
          crlf(
            '-----BEGIN PGP SIGNATURE-----',
            '',
            place('signature', 'wsB5'),
            '-----END PGP SIGNATURE-----',
          ),
        ),
      ],
    ),
  'signed through a list that adds a footer': (place) =>
    multi('Content-Type: multipart/mixed; boundary="list"', 'list', [
      inner('multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha256', 'pgp', [
        text(place('text', sentence)),
        entity(['Content-Type: application/pgp-signature'], crlf(place('signature', 'iQ'))),
      ]),
      text(place('footer', 'list@example.com')),
    ]),
  'encrypted by PGP': (place) =>
    multi('Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="enc"', 'enc', [
      entity(
        ['Content-Type: application/pgp-encrypted', 'Content-Description: PGP/MIME version identification'],
        crlf('Version: 1'),
      ),
      entity(
        [
          'Content-Type: application/octet-stream; name="encrypted.asc"',
          'Content-Disposition: inline; filename="encrypted.asc"',
        ],
        crlf('-----BEGIN PGP MESSAGE-----', '', place('encrypted', 'hQEM'), '-----END PGP MESSAGE-----'),
      ),
    ]),
  'encrypted by S/MIME': (place) =>
    simple(
      [
        'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"',
        'Content-Transfer-Encoding: base64',
        'Content-Disposition: attachment; filename="smime.p7m"',
      ],
      base64(place('p7m', '\x30\x80')),
    ),
}
