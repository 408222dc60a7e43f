// The status page: shows what the service says of itself once a second, and says so when it no longer does.

import { byId, setAttribute, setText } from './dom.js';
import { age, time } from './format.js';
import { follow } from './link.js';
import {
  showArchive,
  showBooks,
  showChannels,
  showConnections,
  showFigures,
  showGaps,
  showRedis,
  showRest,
  showWriters,
} from './sections.js';
import { showLost, showSummary } from './summary.js';

const root = document.documentElement;
const service = byId('service');
const link = byId('link');
const ages = document.querySelectorAll('.age');

/** The time of the newest status, by the service's clock. */
let now = null;

function showStatus(status) {
  showSummary(status);
  showFigures(status);
  showBooks(status);
  showChannels(status);
  showConnections(status);
  showWriters(status);
  showArchive(status);
  showRedis(status);
  showGaps(status);
  showRest(status);
  setText(service, `${status.version} on ${status.instance}`);
  now = status.now;
  setText(link, `live, ${time(now, now)} UTC`);
  for (const node of ages) setText(node, '');
  setAttribute(root, 'data-link', 'live');
}

function showSilence(seconds) {
  setAttribute(root, 'data-link', now ? 'lost' : 'connecting');
  showLost(now, seconds);
  const old = now ? `${age(seconds)} old` : '';
  setText(link, old && `disconnected, ${old}`);
  for (const node of ages) setText(node, old);
}

follow('api/events', showStatus, showSilence);
