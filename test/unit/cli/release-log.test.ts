// What releases.log says of each recipient: delivered is final.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deliveriesOf, type Delivery, type ReleaseLogLine } from '../../../lib/cli/quarantine/release-log'

const line = {
  time: '2026-01-15T12:00:00.000Z',
  uuid: 'A',
  attempt: '1',
  by: { user: 'ann', uid: 1, sudo_user: null },
  to: '192.0.2.1:25',
}
const recipients = ['bob@example.com']
const sending: ReleaseLogLine = { ...line, event: 'sending', recipients }
const sent = (result: Partial<Delivery>): ReleaseLogLine => ({
  ...line,
  event: 'sent',
  delivered: [],
  refused: [],
  in_doubt: [],
  response: '',
  ...result,
})
const delivered = sent({ delivered: recipients })
const refused = sent({ refused: [{ recipient: 'bob@example.com', response: '550' }] })

test('the last attempt counts, unless an earlier one has delivered', () => {
  for (const [lines, state] of [
    [[], undefined],
    [[sending], 'in_doubt'],
    [[sending, refused], 'refused'],
    [[sending, delivered], 'delivered'],
    [[sending, delivered, sending], 'delivered'],
    [[sending, delivered, sending, refused], 'delivered'],
    [[sending, refused, sending], 'in_doubt'],
  ] as const)
    assert.equal(deliveriesOf(lines, 'A').get('bob@example.com')?.state, state)
})
