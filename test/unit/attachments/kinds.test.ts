// Every kind of file that the reference names, attached by itself to a plain mail and to an odd one, and in a zip archive: its
// type is told, and names in it are read.
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { findZip } from '../../../lib/attachments/archives/zip-headers'
import { diskImage } from '../../support/disk-image'
import { archiveKinds, archiveOf } from '../../support/made-archives'
import { attached, base64, glanced, inspected, mixed } from '../../support/smtp/attachment-mails'
import { zip } from '../../support/zip-builder'

const hex = (digits: string, bytes = 64) => Buffer.concat([Buffer.from(digits, 'hex'), Buffer.alloc(bytes)])
const text = (words: string) => Buffer.from(words.padEnd(64, '\n'))
const at = (place: number, digits: string) => Buffer.concat([Buffer.alloc(place), hex(digits, 600)])
const noise = createHash('shake256', { outputLength: 64 * 1024 }).digest()
const volume = Buffer.concat([archiveOf('hfs'), noise])
const image = diskImage([volume])
/** An image whose footer alone says what it is. */
const bareVhd = Buffer.concat([Buffer.alloc(4096, 7), archiveOf('vhd of one size').subarray(-512)])
const installer = Buffer.concat([hex('d0cf11e0a1b11ae1', 600), hex('84100c0000000000c000000000000046')])

/** Of each type one file or several. */
const samples: Readonly<Record<string, Buffer | readonly Buffer[]>> = {
  pe: hex('4d5a'),
  elf: hex('7f454c46'),
  macho: hex('cffaedfe07000001'),
  class: hex('cafebabe00000034'),
  dex: hex('6465780a30'),
  msi: installer,
  com: text('X5O!P%@AP'),
  shebang: text('#!/bin/sh'),
  bat: text('@ECHO OFF'),
  php: text('<?php'),
  hta: text('<html><hta:application id=a>'),
  wsf: text('<job>'),
  reg: text('REGEDIT4'),
  'encoded-script': text('#@~^AAAA=='),
  lnk: hex('4c0000000114020000000000c000000000000046'),
  url: text('[InternetShortcut]'),
  desktop: text('[Desktop Entry]'),
  webloc: text('<?xml version="1.0"?><plist version="1.0"><dict><key>URL</key>'),
  'library-ms': text('<libraryDescription>'),
  iso: [archiveOf('iso (Joliet)'), archiveOf('iso (Rock Ridge)')],
  udf: archiveOf('udf'),
  img: [archiveOf('img'), volume, at(32, '4e585342'), hex('45520200')],
  vhd: [archiveOf('vhd'), archiveOf('vhd of one size'), bareVhd],
  vhdx: archiveOf('vhdx'),
  vmdk: archiveOf('vmdk'),
  vdi: at(64, '7f10dabe'),
  qcow: archiveOf('qcow2'),
  dmg: [image, diskImage([volume, volume]), hex('656e637263647361')],
  zip: zip(['a']),
  rar: [archiveOf('rar 4'), archiveOf('rar 5')],
  '7z': archiveOf('7z'),
  tar: [archiveOf('tar'), archiveOf('tar without a mark'), tarOf('MZ.txt')],
  gz: archiveOf('gz with a name'),
  bz2: archiveOf('tar.bz2'),
  xz: archiveOf('xz'),
  zst: archiveOf('tar.zst'),
  lzma: archiveOf('lzma'),
  z: hex('1f9d90'),
  cab: archiveOf('cab'),
  arj: archiveOf('arj'),
  lzh: archiveOf('lzh'),
  cpio: [archiveOf('cpio'), archiveOf('old cpio')],
  ar: [archiveOf('ar'), archiveOf('deb')],
  rpm: archiveOf('rpm'),
  wim: archiveOf('wim'),
  xar: hex('78617221'),
  chm: hex('49545346'),
  ace: at(7, '2a2a4143452a2a'),
  alz: hex('414c5a01'),
  egg: hex('45474741'),
  lz4: hex('04224d18'),
  lzip: hex('4c5a495001'),
  zoo: at(20, 'dca7c4fd'),
  'office-macro': [archiveOf('macros in a document'), zip(['[Content_Types].xml', 'word/vbaProject.bin'])],
  html: text('<!DOCTYPE html>'),
  svg: text('<svg onload="x">'),
  pdf: text('%PDF-1.7'),
  rtf: text('{\\rtf1'),
  ole: hex('d0cf11e0a1b11ae1'),
  one: hex('e4525c7b8cd8a74daeb15378d02996d3'),
  tnef: hex('789f3e22'),
}
const groups = new Map<string, string>()

/** Of one empty file, whose name is the first thing in the archive. */
function tarOf(name: string): Buffer {
  const header = Buffer.alloc(1024)
  header.write(name)
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

const reference = readFileSync('docs/reference/attachments.md', 'utf8')
for (const [, group = '', types = ''] of reference.matchAll(
  /^\| +(?:`([a-z-]+)`)? +\| +(`[a-z0-9` -]+`) +\|$/gm,
))
  for (const [, type = ''] of types.matchAll(/`([^`]+)`/g)) groups.set(type, group)

const plain = (content: Buffer) => mixed([['Content-Type: text/plain'], 'hello'], attached('a.bin', content))
/** It is decoded by a reader that goes by what it looks like. */
const odd = (content: Buffer) =>
  mixed([
    ['Content-Type: application/octet-stream; name=a.bin', 'Content-Transfer-Encoding: 7bit'],
    base64(content).trimEnd(),
  ])
/** Some formats are told by what lies far behind their beginning: in an archive, by their name. */
const named = (type: string) => `a.${type}`

const places: Readonly<Record<string, (content: Buffer, type: string) => Buffer>> = {
  'a plain mail': plain,
  'an odd mail': odd,
  'a zip archive': (content, type) => plain(zip([{ name: named(type), content }])),
  'a zip archive that stores it': (content, type) => plain(zip([{ name: named(type), content, method: 0 }])),
}

test('each type of the reference has a sample', () => {
  const types = [...groups.keys(), 'office-macro'].sort()
  assert.deepEqual(Object.keys(samples).sort(), types)
})

for (const [place, mailOf] of Object.entries(places)) {
  describe(`type: in ${place}`, () => {
    for (const [type, files] of Object.entries(samples)) {
      test(type, async () => {
        for (const [i, content] of [files].flat().entries()) {
          const mail = mailOf(content, type)
          for (const name of [type, groups.get(type) ?? ''].filter((word) => word !== '')) {
            const masks = `type:${name}`
            assert.equal((await inspected(mail, { masks })).denied?.mask, masks, `file ${i}`)
            assert.equal((glanced(mail, masks).outcome?.denied ?? { mask: masks }).mask, masks, `file ${i}`)
          }
        }
      })
    }
  })
}

const nameless = new Set(['macros in a document', 'xz', 'lzma'])
const archives: Readonly<Record<string, Buffer>> = {
  ...Object.fromEntries(
    archiveKinds
      .filter((kind) => !nameless.has(kind) && !kind.includes('names encrypted'))
      .map((kind) => [kind, archiveOf(kind)]),
  ),
  dmg: image,
  'dmg of two volumes': diskImage([volume, volume]),
}

for (const [place, mailOf] of Object.entries(places)) {
  describe(`names in archives in ${place}`, () => {
    for (const [kind, content] of Object.entries(archives)) {
      test(kind, async () => {
        const mail = mailOf(content, /^\w+/.exec(kind)?.[0] ?? '')
        assert.equal(glanced(mail).outcome, null)
        assert.equal((await inspected(mail)).denied?.mask, '*.exe')
      })
    }
  })
}

describe('a disk image of which the footer alone tells', () => {
  test('in other archives', async () => {
    for (const content of [tarWith('a.dmg', image), gzipSync(tarWith('a.dmg', image))])
      assert.equal((await inspected(plain(content))).denied?.mask, '*.exe')
  })

  test('with a zip archive in it', async () => {
    const inner = Buffer.alloc(512)
    zip(['a.txt']).copy(inner)
    const content = diskImage([Buffer.concat([volume, inner])], 0)
    assert.ok(findZip(content, 0) > 0)
    assert.equal((await inspected(plain(content))).denied?.mask, '*.exe')
  })

  test('is unreadable where it is damaged', async () => {
    const cut = Buffer.concat([Buffer.alloc(5000, 7), image.subarray(-512)])
    assert.match((await inspected(plain(cut))).unreadable ?? '', /: dmg \(damaged\)$/)
  })

  test('is told across pieces of the message, and without inside_archives', async () => {
    const mail = plain(image)
    for (const chunkBytes of [1, 700, 65_536]) {
      assert.equal((await inspected(mail, { chunkBytes })).denied?.mask, '*.exe')
      assert.equal(glanced(mail, '*.exe', chunkBytes).outcome, null)
    }
    const { denied } = await inspected(mail, { masks: 'type:dmg', insideArchives: false })
    assert.equal(denied?.mask, 'type:dmg')
  })

  test('an exception for its name holds', async () => {
    const { denied } = await inspected(plain(image), { masks: 'type:disk-image', allow: '*.bin' })
    assert.equal(denied, null)
  })
})

/** Of one file. */
function tarWith(name: string, content: Buffer): Buffer {
  const header = tarOf(name).subarray(0, 512)
  header.write(`${content.length.toString(8).padStart(11, '0')}\0`, 124)
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, content, Buffer.alloc(1024 + (512 - (content.length % 512)))])
}

test('a file whose first bytes in an archive say nothing is unpacked for its name', async () => {
  const iso = archiveOf('iso (Joliet)')
  noise.copy(iso, 0, 0, 32_768)
  assert.equal((await inspected(plain(zip([{ name: 'a.iso', content: iso }])))).denied?.mask, '*.exe')
})
