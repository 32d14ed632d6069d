/*
 * The dialogue for each protocol.
 */

import { instream } from './instream'
import { stream } from './stream'

export const dialogue = { stream, instream }
