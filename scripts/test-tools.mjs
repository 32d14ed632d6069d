// A process of its own, so that `npm test` installs Debian's packages beside its checks.
import { ensureTestTools } from './setup.mjs'

ensureTestTools()
