'use strict';
// Tables that can be sorted and filtered, and the gallery's controls. Without scripts the page shows the same numbers.

/** A cell's text as a number where it begins with one, so that `0.85 [0.71, 1.00]` sorts by its mean. */
function sortKey(text) {
  const number = parseFloat(text.replace('\u2212', '-'));
  return Number.isNaN(number) ? text.toLowerCase() : number;
}

function compareKeys(a, b) {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a !== typeof b) return typeof a === 'number' ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function sortTable(table, column, button) {
  const body = table.tBodies[0];
  const isAscending = button.dataset.order !== 'ascending';
  const rows = Array.from(body.rows, (row) => [sortKey(row.cells[column].textContent), row]);
  rows.sort((a, b) => (isAscending ? compareKeys(a[0], b[0]) : compareKeys(b[0], a[0])));
  for (const header of table.tHead.rows[0].cells) {
    header.removeAttribute('aria-sort');
    delete header.firstChild.dataset.order;
  }
  button.dataset.order = isAscending ? 'ascending' : 'descending';
  button.parentElement.setAttribute('aria-sort', button.dataset.order);
  body.append(...rows.map((row) => row[1]));
}

function addSorting(table) {
  Array.from(table.tHead.rows[0].cells).forEach((header, column) => {
    const button = document.createElement('button');
    button.type = 'button';
    button.textContent = header.textContent;
    button.title = 'sort';
    button.addEventListener('click', () => sortTable(table, column, button));
    header.replaceChildren(button);
  });
}

/** Shows the rows that hold every word that is typed. */
function addFilter(holder, table) {
  const bar = document.createElement('div');
  bar.className = 'filter';
  const label = document.createElement('label');
  label.textContent = 'Filter ';
  const input = document.createElement('input');
  input.type = 'search';
  input.placeholder = 'words, all of them';
  const count = document.createElement('span');
  count.setAttribute('role', 'status');
  label.append(input);
  bar.append(label, count);
  holder.prepend(bar);
  const rows = Array.from(table.tBodies[0].rows);
  let texts;
  const apply = () => {
    texts = texts || rows.map((row) => Array.from(row.cells, (cell) => cell.textContent).join(' ').toLowerCase());
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach((row, index) => {
      const isHidden = !words.every((word) => texts[index].includes(word));
      if (row.hidden !== isHidden) row.hidden = isHidden;
      if (!isHidden) shown += 1;
    });
    count.textContent = `${shown} of ${rows.length}`;
  };
  count.textContent = `${rows.length} of ${rows.length}`;
  input.addEventListener('input', apply);
}

function addGalleryControls(gallery) {
  const controls = gallery.querySelector('.controls');
  controls.hidden = false;
  const condition = controls.querySelector('.condition');
  const show = () => {
    for (const overlay of gallery.querySelectorAll('.overlay')) {
      overlay.classList.toggle('shown', overlay.dataset.condition === condition.value);
    }
  };
  condition.addEventListener('change', show);
  show();
  controls.querySelector('.opacity').addEventListener('input', (event) => {
    gallery.style.setProperty('--overlay', event.target.value / 100);
  });
}

for (const holder of document.querySelectorAll('.sortable')) {
  const table = holder.querySelector('table');
  addSorting(table);
  addFilter(holder, table);
}
for (const gallery of document.querySelectorAll('.gallery')) addGalleryControls(gallery);
for (const image of document.querySelectorAll('.stage img')) {
  if (image.width && Number(image.getAttribute('width')) < 160) image.parentElement.classList.add('small');
}
