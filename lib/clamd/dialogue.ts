/*
 * The dialogues by the name of their protocol.
 */

import { instream } from './instream'
import { stream } from './stream'

export const dialogue = { stream, instream }
