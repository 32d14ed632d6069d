/*
 * To be imported before anything else: haraka-tld, which comes with haraka-net-utils, greets on standard
 * output as it is loaded, in the middle of what a command prints there.
 */

process.env.HARAKA_LOGS_SUPPRESS = '1'
