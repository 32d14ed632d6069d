// Imported by the Harakas of the tests: they load redis when they first use it, not at their start. Haraka requires it for
// a cache of outbound TLS failures, which is off by default, and that takes half of the CPU time of a start.
import Module from 'node:module'

const load = Module._load

Module._load = (request, parent, isMain) => {
  const module = () => load(request, parent, isMain)
  return request === 'redis' ? new Proxy({}, { get: (_, name) => module()[name] }) : module()
}
