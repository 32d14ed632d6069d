// Every mark by which a file is known, one by one, and what misses it by little.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { containerOf, isText, typeNames, typesOf, typesOfWhole } from '../../../lib/attachments/file-types'
import { parseMasks } from '../../../lib/attachments/masks'
import { Invalid } from '../../../lib/base/invalid'

const at = (offset: number, hex: string) => Buffer.concat([Buffer.alloc(offset, 1), Buffer.from(hex, 'hex')])
const ascii = (text: string) => Buffer.from(text, 'latin1').toString('hex')
const names = (head: Buffer) => [...typesOf(head)].sort().join(' ')

const bytes: readonly (readonly [types: string, hex: string, offset?: number])[] = [
  ['executable pe', `${ascii('MZ')}00`],
  ['executable pe', `${ascii('ZM')}00`],
  ['elf executable', `7f${ascii('ELF')}`],
  ...['feedface', 'feedfacf', 'cefaedfe', 'cffaedfe', 'cafebabe00000002'].map(
    (hex) => ['executable macho', hex] as const,
  ),
  ['class executable', 'cafebabe00000034'],
  ['class executable', 'cafebabe00000041'],
  ['dex executable', ascii('dex\n0')],
  ['com executable', ascii('X5O!P%@A')],
  ['lnk shortcut', '4c0000000114020000000000c000000000000046'],
  ['disk-image iso', ascii('CD001'), 32769],
  ['disk-image iso', ascii('CD001'), 34817],
  ...[32769, 34817, 36865, 38913, 40961, 43009, 45057].map(
    (offset) => ['disk-image udf', ascii('BEA01'), offset] as const,
  ),
  ['disk-image vhd', ascii('conectix')],
  ['disk-image vhdx', ascii('vhdxfile')],
  ['disk-image vmdk', ascii('KDMV')],
  ['disk-image vdi', '7f10dabe', 64],
  ['disk-image qcow', '514649fb'],
  ['disk-image img', ascii('FAT12'), 54],
  ['disk-image img', ascii('FAT16'), 54],
  ['disk-image img', ascii('FAT32'), 82],
  ['disk-image img', ascii('NTFS    '), 3],
  ['disk-image img', ascii('EFI PART'), 512],
  ...['504b0304', '504b0102', '504b0506', '504b0708', ascii('PK00PK')].map(
    (hex) => ['archive zip', hex] as const,
  ),
  ['archive rar', `${ascii('Rar!')}1a07`],
  ['7z archive', '377abcaf271c'],
  ['archive gz', '1f8b08'],
  ['archive bz2', ascii('BZh91AY&SY')],
  ['archive xz', 'fd377a585a00'],
  ['archive zst', '28b52ffd'],
  ['archive lzma', '5d00001000ffffffffffffffff00'],
  ['archive lzma', '5d00008000000000000000000000'],
  ['archive z', '1f9d80'],
  ['archive z', '1f9d90'],
  ['archive cab', `${ascii('MSCF')}00000000`],
  ['archive arj', '60ea1e001e00000000000000'],
  ['archive lzh', ascii('-lh'), 2],
  ['archive lzh', ascii('-lz'), 2],
  ['archive cpio', ascii('07070')],
  ['ar archive', ascii('!<arch>\n')],
  ['archive rpm', 'edabeedb'],
  ['archive wim', `${ascii('MSWIM')}000000`],
  ['archive xar', ascii('xar!')],
  ['archive chm', ascii('ITSF')],
  ['ace archive', ascii('**ACE**'), 7],
  ['archive lz4', '04224d18'],
  ['archive lzip', `${ascii('LZIP')}01`],
  ['archive zoo', 'dca7c4fd', 20],
  ['alz archive', `${ascii('ALZ')}01`],
  ['archive egg', ascii('EGGA')],
  ['ole', 'd0cf11e0a1b11ae1'],
  ['one', 'e4525c7b8cd8a74daeb15378d02996d3'],
  ['pdf', ascii('%PDF')],
  ['rtf', ascii('{\\rt')],
  ['tnef', '789f3e22'],
]

test('marks of bytes', () => {
  for (const [types, hex, offset = 0] of bytes) {
    assert.equal(names(at(offset, hex)), types, hex)
    assert.equal(names(at(offset + 1, hex)), '', `${hex}, one byte off`)
    assert.ok(types.split(' ').every((type) => typeNames.has(type)))
  }
})

test('marks that need more around them', () => {
  for (const hex of [
    '5d00080000ffffffffffffffff00',
    '5d00001100ffffffffffffffff00',
    '5d00001000ffffffffffffffff01',
    '5d00001000ffffffff0001000000',
    '5d00001000ffffffffffffffff',
    '60ea1d001e00000000000000',
    '60ea1e001d00000000000000',
    '60ea1e001f00000000000000',
    '60ea290a1e00000000000000',
    '60ea1e001e',
    ascii('BZh01AY&SY'),
    ascii('BZh9xAY&SY'),
  ])
    assert.equal(names(Buffer.from(hex, 'hex')), '', hex)
  assert.equal(names(Buffer.from('60ea280a1e00000000000000', 'hex')), 'archive arj')
})

const xml = '<?xml version="1.0"?>\n'
const texts: readonly (readonly [types: string, ...begins: string[]])[] = [
  ['shortcut url', '[InternetShortcut]\r\nURL=x', '\ufeff [internetshortcut]', '[DEFAULT]\nBASEURL='],
  ['desktop shortcut', '[Desktop Entry]', '# a\n# b\n[Desktop Entry]'],
  ['shortcut webloc', `${xml}<plist><dict><key>URL</key>`],
  ['library-ms shortcut', `${xml}<libraryDescription x>`, '<persistedQuery>', '<PCSettings>'],
  ['hta script', 'x <HTA:application id=a>'],
  ['script wsf', '<job>', '<package>', '<component id="a">', `${xml}<scriptlet>`],
  ['encoded-script script', '#@~^AAA'],
  ['script shebang', '#!/bin/sh', '#! /usr/bin/env x'],
  ['bat script', '@ECHO OFF', 'echo off\n', 'SetLocal'],
  ['php script', '<?php', '<?= 1'],
  ['reg script', 'Windows Registry Editor Version 5.00', 'REGEDIT4'],
  ['svg', '<svg>', `${xml}<!-- a --><!DOCTYPE svg PUBLIC ""><SVG x>`],
  ['html', '<!DOCTYPE html>', '<html>', `${xml}<!-- a -->\n<script>`, '<meta x>', '<base>', '<iframe >'],
  ['', 'echo', 'echo offer', '#!x', 'Regedit4', '<htmlx>', '<svgs>', 'x [InternetShortcut]', '<jobs>', '@'],
]

test('marks of texts, in any encoding', () => {
  for (const [types, ...begins] of texts)
    for (const text of begins) {
      const wide = Buffer.from(`\ufeff${text}`, 'utf16le')
      const forms = [Buffer.from(text), wide, Buffer.from(wide).swap16()]
      for (const form of forms) assert.equal(names(form), types, text)
      const found = typesOf(Buffer.from(text))
      assert.equal(isText(found), types !== '')
    }
  assert.ok(!isText(new Set(['pe'])))
})

test('partitions and old tar archives', () => {
  const disk = Buffer.alloc(512)
  disk.writeUInt16BE(0x55aa, 510)
  assert.equal(names(disk), '')
  disk[446 + 16 + 4] = 7
  assert.equal(names(disk), 'disk-image img')
  disk[446 + 16] = 0x80
  assert.equal(names(disk), 'disk-image img')
  disk[446 + 32] = 1
  assert.equal(names(disk), '')
  assert.equal(names(disk.subarray(0, 511)), '')
  const tar = Buffer.alloc(512)
  tar.write('a.txt')
  const sum = [...Buffer.from('a.txt')].reduce((all, byte) => all + byte, 8 * 0x20)
  tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  assert.equal(names(tar), 'archive tar')
  tar[0] = 0x62
  assert.equal(names(tar), '')
})

test('what only the whole of a file tells', () => {
  const whole = (types: string[], ...pieces: readonly (string | Buffer)[]) => {
    const content = Buffer.concat(pieces.map((piece) => Buffer.from(piece as string)))
    return [...typesOfWhole(content, new Set(types))].join(' ')
  }
  const wide = (text: string) => Buffer.from(text, 'utf16le')
  const body = 'x'.repeat(600)
  for (const name of ['_VBA_PROJECT', 'Macros', '_VBA_PROJECT_CUR'])
    assert.equal(whole(['ole'], body, wide(name)), 'ole office-macro')
  for (const first of ['84', '86', '82'])
    assert.equal(
      whole(['ole'], Buffer.from(`${first}100c0000000000c000000000000046`, 'hex')),
      'ole msi executable',
    )
  assert.equal(whole([], body, wide('Macros')), '')
  const footer = (text: string) => text.padEnd(512, '\0')
  assert.equal(whole([], body, footer('conectix')), 'vhd disk-image')
  assert.equal(whole([], body, footer('koly')), 'dmg disk-image')
  assert.equal(whole([], body, footer('koly'), '\r\n'), 'dmg disk-image')
  assert.equal(whole([], body, footer('koly'), 'xyz'), '')
})

test('who opens it', () => {
  const by = (...types: string[]) => containerOf(new Set(types))
  const library =
    '7z ar arj bz2 cab chm cpio dmg gz img iso lzh lzma qcow rar rpm tar udf vdi vhd vhdx vmdk wim xar xz z zst ole'
  for (const type of library.split(' ')) assert.deepEqual(by(type), { kind: type, by: 'library' })
  for (const type of ['ace', 'alz', 'egg', 'lz4', 'lzip', 'zoo'])
    assert.deepEqual(by('archive', type), { kind: type, by: 'nobody' })
  assert.deepEqual(by('rar', 'zip'), { kind: 'zip', by: 'zip' })
  assert.equal(by('pdf', 'executable'), null)
})

test('items of deny: what they are, and what is refused', () => {
  const of = (text: string) => {
    const masks = parseMasks(text)
    if (masks instanceof Invalid) return masks.why
    return masks.map((mask) => `${mask.of} ${mask.inside ?? '-'} ${mask.text}`).join(', ')
  }
  for (const [text, result] of [
    ['*.exe,ab;b.c', 'did you mean *.ab?'],
    ['*.exe a.b', 'name - *.exe, name - a.b'],
    ['TYPE:PE content-type:text/*', 'type - TYPE:PE, content-type - content-type:text/*'],
    ['in:RAR *.exe', 'name rar in:rar *.exe'],
    ['in:archive type:pe *.scr', 'type archive in:archive type:pe, name - *.scr'],
    ['/a b/ /c/', 'name - /a b/, name - /c/'],
    ['type:nothing', 'type:nothing is no known type'],
    ['xtype:pe', 'xtype:pe'],
    ['content-type:text', 'content-type:text: a Content-Type is TYPE/SUBTYPE'],
    ['in:none *.exe', 'in:none is no kind of archive'],
    ['in:zip', 'in:zip needs a mask behind it'],
    ['in:zip in:rar *.exe', 'in:zip needs a mask behind it'],
    ['/ab', '/ab: a regular expression ends in /'],
    ['.exe', 'did you mean *.exe?'],
    ['exe', 'did you mean *.exe?'],
    ['e', 'name - e'],
    ['a'.repeat(65), 'a'.repeat(65)],
    ['"a"', '"a"'],
    ['a\\b', 'a\\b'],
  ] as const)
    assert.equal(of(text), result)
})
