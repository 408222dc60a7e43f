// What the sections are built of. Text goes in as text and only where it has changed, so that a selection, the focus and
// an open list survive the next second.

const SVG = 'http://www.w3.org/2000/svg';
/** A list that is longer than this is folded. */
const SHORT_LIST = 8;

export const byId = (id) => document.getElementById(id);

/** A new element with its class and children. */
export function element(tag, className = '', ...children) {
  const node = document.createElement(tag);
  if (className) node.className = className;
  node.append(...children);
  return node;
}

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

/** One of the symbols of the page: ok, warn, bad, off. Their shapes differ, not their colours alone. */
export function icon(kind) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', `icon ${kind}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(document.createElementNS(SVG, 'use'));
  svg.firstChild.setAttribute('href', `#icon-${kind}`);
  return svg;
}

export function setIcon(svg, kind) {
  setAttribute(svg, 'class', `icon ${kind}`);
  setAttribute(svg.firstElementChild, 'href', `#icon-${kind}`);
}

/** Shows a value: a text, or `{text, mark}` with a symbol before it. */
export function show(node, value) {
  const { text, mark } = typeof value === 'object' ? value : { text: value };
  if (!mark) {
    if (node.firstElementChild) node.replaceChildren(); // the symbol of another value
    setText(node, text);
    return;
  }
  if (node.firstElementChild?.tagName !== 'svg') node.replaceChildren(icon(mark), element('span'));
  setIcon(node.firstElementChild, mark);
  setText(node.lastElementChild, text);
}

/**
 * Makes one child of `parent` for each item, in their order, after the children that are none of ours. The child that is
 * there for a key already stays, and is moved only if it has to be.
 */
export function reconcile(parent, items, keyOf, create, update) {
  const old = new Map(
    [...parent.children].filter((node) => 'key' in node.dataset).map((node) => [node.dataset.key, node]),
  );
  const nodes = items.map((item) => {
    const key = String(keyOf(item));
    const node = old.get(key) ?? create(item);
    old.delete(key);
    node.dataset.key = key;
    update(node, item);
    return node;
  });
  for (const node of old.values()) node.remove();
  let place = null;
  for (const node of nodes.reverse()) {
    if (node.parentNode !== parent || node.nextElementSibling !== place) parent.insertBefore(node, place);
    place = node;
  }
}

/** Shows pairs of a name and a value in a `dl`; or `empty`, when there are none. */
export function showFacts(list, facts, empty = 'none') {
  const shown = facts.length > 0 ? facts : [['', empty]];
  reconcile(
    list,
    shown,
    ([name]) => name,
    ([name]) => element('div', '', element('dt', '', name), element('dd')),
    (node, [, value]) => show(node.lastElementChild, value),
  );
}

/** Shows names; a long list as its beginning with the rest folded. */
export function showNames(node, names) {
  const all = names.join(', ');
  if (node.dataset.names === all) return;
  node.dataset.names = all;
  if (names.length <= SHORT_LIST) {
    node.replaceChildren(all);
    return;
  }
  const isOpen = node.querySelector('details')?.open ?? false;
  const head = names.slice(0, SHORT_LIST - 2).join(', ');
  const rest = names.slice(SHORT_LIST - 2);
  const details = element('details', '', element('summary', '', `and ${rest.length} more`), rest.join(', '));
  details.open = isOpen;
  node.replaceChildren(head, ' ', details);
}

/**
 * A table with a row an item. A column is `{head, cell, number, create}`: `cell` gives the value of an item; `create`
 * makes what the cell holds, a node with a function `update(item)`. The first column names the row. `notes` gives
 * `{mark, text, names}` to stand below a row.
 *
 * The roles are written out: on a phone rows are laid out as blocks, and a browser then forgets that it is a table.
 */
export class Table {
  #table;
  #columns;
  #options;
  #head;

  constructor(table, columns, options) {
    this.#table = table;
    this.#columns = columns;
    this.#options = { notes: () => [], empty: 'none', ...options };
    const names = columns.map((column) => part('th', 'columnheader', column, column.head));
    for (const name of names) name.scope = 'col';
    this.#head = part('thead', 'rowgroup', {}, part('tr', 'row', {}, ...names));
    table.setAttribute('role', 'table');
    table.append(this.#head);
  }

  /** Shows the items, or that there are none. An item is a row group: its row, and its notes if it has any. */
  update(items) {
    this.#head.hidden = items.length === 0;
    const isEmpty = items.length === 0;
    reconcile(
      this.#table,
      isEmpty ? [null] : items,
      (item) => (isEmpty ? '' : this.#options.key(item)),
      () => part('tbody', 'rowgroup', {}, isEmpty ? this.#wide(this.#options.empty) : this.#row()),
      (group, item) => isEmpty || this.#fill(group, item),
    );
  }

  #row() {
    const cells = this.#columns.map((column, index) => {
      const cell = index === 0 ? part('th', 'rowheader', column) : part('td', 'cell', column);
      if (index === 0) cell.scope = 'row';
      cell.dataset.head = column.head;
      if (column.create) cell.append(column.create());
      return cell;
    });
    return part('tr', 'row', {}, ...cells);
  }

  #fill(group, item) {
    const cells = group.firstElementChild.children;
    this.#columns.forEach((column, index) => {
      if (column.create) cells[index].firstElementChild.update(item);
      else show(cells[index], column.cell(item));
    });
    const notes = this.#options.notes(item);
    while (group.children.length > 1 + notes.length) group.lastElementChild.remove();
    while (group.children.length < 1 + notes.length) group.append(this.#wide(element('p'), element('p')));
    notes.forEach(({ mark, text, names = [] }, index) => {
      const [line, list] = group.children[1 + index].firstElementChild.children;
      show(line, { mark, text });
      showNames(list, names);
    });
  }

  #wide(...children) {
    const cell = part('td', 'cell', {}, ...children);
    cell.colSpan = this.#columns.length;
    const row = part('tr', 'row', {}, cell);
    row.className = 'note';
    return row;
  }
}

function part(tag, role, column, ...children) {
  const node = element(tag, column.number ? 'number' : '', ...children);
  node.setAttribute('role', role);
  return node;
}
